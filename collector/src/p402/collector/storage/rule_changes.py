"""Changes of rules: of budgets, policies, keys and prices. Whoever remembers rules asks for their version first.

In a transaction of the writer it is read once, since nobody else can change it meanwhile (`storage.transaction`).

Clients hear of a change by the feedback stream of any replica; see `api.feedback`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.signals import signal
from p402.collector.storage.transaction import Transaction

__all__ = ["RECALL_TOPIC", "RULES_TOPIC", "recall", "rules_changed", "rules_version"]

RULES_TOPIC = "rules:"
"""What a signal's topic begins with that says an organisation's rules have changed; the organisation follows."""

RECALL_TOPIC = "recall:"
"""What a signal's topic begins with that asks for idle leases back; the organisation follows."""

_BUMP = (
    "INSERT INTO rule_versions (organisation, version) VALUES (?, 1)"
    " ON CONFLICT (organisation) DO UPDATE SET version = rule_versions.version + 1"
)


_READ = "SELECT version FROM rule_versions WHERE organisation = ?"


class _Versions:
    """The versions that a transaction knows, by organisation; implements `storage.transaction.Memory`."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def keep(self) -> None:
        """Do nothing: they are as in the database."""

    undo = keep

    def write(self, sql: Driver) -> None:
        """Do nothing either."""

    def forget(self) -> None:
        self.known.clear()


def rules_changed(connection: Connection, organisation: str) -> None:
    """Note inside a change that it changes an organisation's rules."""
    sql = driver(connection)
    sql.execute(_BUMP, (organisation,))
    if isinstance(sql, Transaction):
        sql.memory(_Versions).known.pop(organisation, None)
    signal(connection, f"{RULES_TOPIC}{organisation}")


def rules_version(sql: Driver, organisation: str) -> int:
    """Give the version of an organisation's rules; it only grows."""
    if not isinstance(sql, Transaction):
        return _version(sql.execute(_READ, (organisation,)).fetchall())
    known = sql.memory(_Versions).known
    version = known.get(organisation)
    if version is None:
        version = known[organisation] = _version(sql.look(_READ, (organisation,)))
    return version


def recall(connection: Connection, organisation: str) -> None:
    """Ask the holders of leases of an organisation to give back what they do not need: somebody waits."""
    signal(connection, f"{RECALL_TOPIC}{organisation}")


def _version(rows: Sequence[Any]) -> int:
    return int(rows[0][0]) if rows else 0
