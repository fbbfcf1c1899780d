"""Acme Corp, which does not exist: a hundred people and a month of their work, fed through the real pipeline."""
