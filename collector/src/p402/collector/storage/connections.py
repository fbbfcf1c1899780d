"""How many connections a process has to its database at once: each reader has one, and so has the writer."""

from __future__ import annotations

__all__ = ["CONNECTIONS", "LONG_READERS", "READERS"]

READERS = 6  # for what a request waits for, such as the key it comes with
LONG_READERS = 2  # for what may look at much of the ledger
CONNECTIONS = 1 + READERS + LONG_READERS
