"""Sends events to people: chats, mail and whatever else apprise can reach."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

import apprise

from p402.collector.channel_settings import ChannelSettings, EventType
from p402.collector.notifications.events import StoredEvent, message_for_people
from p402.collector.notifications.ports import Answer

__all__ = ["PeopleChannel"]

_TIMEOUT_SECONDS = 30.0

# Its messages may hold parts of addresses, which hold passwords. What went wrong is in the delivery.
logging.getLogger("apprise").addHandler(logging.NullHandler())
logging.getLogger("apprise").propagate = False


class PeopleChannel:
    """One channel."""

    at_once = 1  # services of people limit their rate, and apprise waits for that

    def __init__(self, settings: ChannelSettings) -> None:
        """Read the address.

        Raises:
            ValueError: if apprise cannot make sense of it.
            OSError: if its file cannot be read.
        """
        self.name = settings.name
        self.subscribed: frozenset[EventType] = settings.subscribed
        self._apprise = apprise.Apprise(asset=apprise.AppriseAsset(app_id="P402 Meter", http_redirects=False))
        if not self._apprise.add(settings.read_url()):
            raise ValueError("apprise cannot use this address; its documentation lists what each service needs")

    async def send(self, event: StoredEvent, at: datetime) -> Answer:  # noqa: ARG002 - the service stamps its messages
        """Send an event once."""
        title, text = message_for_people(event)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                sent = await self._apprise.async_notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT)
        except TimeoutError:
            return Answer(f"no answer within {_TIMEOUT_SECONDS:.0f} seconds")
        return Answer() if sent else Answer("the service did not take the message")

    async def close(self) -> None:
        """Nothing is kept open."""
