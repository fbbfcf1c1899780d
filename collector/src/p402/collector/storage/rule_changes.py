"""Changes of rules: of budgets, policies, keys and prices. Whoever remembers rules asks for their version first.

Clients hear of a change by the feedback stream of any replica; see `api.feedback`.
"""

from __future__ import annotations

from sqlalchemy import Connection

from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.signals import signal

__all__ = ["RECALL_TOPIC", "RULES_TOPIC", "recall", "rules_changed", "rules_version"]

RULES_TOPIC = "rules:"
"""What a signal's topic begins with that says an organisation's rules have changed; the organisation follows."""

RECALL_TOPIC = "recall:"
"""What a signal's topic begins with that asks for idle leases back; the organisation follows."""

_BUMP = (
    "INSERT INTO rule_versions (organisation, version) VALUES (?, 1)"
    " ON CONFLICT (organisation) DO UPDATE SET version = rule_versions.version + 1"
)


def rules_changed(connection: Connection, organisation: str) -> None:
    """Note inside a change that it changes an organisation's rules."""
    driver(connection).execute(_BUMP, (organisation,))
    signal(connection, f"{RULES_TOPIC}{organisation}")


def rules_version(sql: Driver, organisation: str) -> int:
    """Give the version of an organisation's rules; it only grows."""
    row = sql.execute("SELECT version FROM rule_versions WHERE organisation = ?", (organisation,)).fetchone()
    return 0 if row is None else int(row[0])


def recall(connection: Connection, organisation: str) -> None:
    """Ask the holders of leases of an organisation to give back what they do not need: somebody waits."""
    signal(connection, f"{RECALL_TOPIC}{organisation}")
