"""Telling others: events are kept in an outbox and delivered to webhooks and to people's channels, at least once."""
