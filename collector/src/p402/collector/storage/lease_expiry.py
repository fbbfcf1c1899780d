"""Expiring leases: a look that only reads, and a change where there is something to do."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy import Connection

from p402.collector.budgets.keep import Count, Expire, LeaseFigures
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.leases import COUNTS_NO_MORE, expire_leases
from p402.decisions import Measure
from p402.vocabulary import Money

__all__ = ["lease_count", "lease_expiry"]

_DUE = (
    "SELECT 1 FROM leases WHERE state = 'open' AND expires_at < ?"
    f" OR state = 'unreconciled' AND (changed_at <= ? OR {COUNTS_NO_MORE}) LIMIT 1"
)

_STATES = "SELECT state, COUNT(*) FROM leases WHERE state IN ('open', 'unreconciled') GROUP BY state"
_UNRECONCILED = (
    "SELECT lease_id, definition, remaining FROM leases JOIN lease_holds ON lease_id = leases.id"
    " JOIN budgets ON budgets.id = budget_id WHERE state = 'unreconciled' AND remaining > 0"
)


def lease_expiry(database: Database, *, settle_within: timedelta, grace: timedelta) -> Expire:
    """Make the function that expires leases; see `storage.leases.expire_leases`."""

    async def expire(at: datetime) -> int:
        limits = to_millis(at - settle_within), to_millis(at - grace), to_millis(at)
        due = await database.read(lambda connection: driver(connection).execute(_DUE, limits).fetchone())
        if due is None:
            return 0
        return await database.write(lambda connection: expire_leases(connection, at, settle_within, grace))

    return expire


def lease_count(database: Database) -> Count:
    """Make the function that looks how leases stand."""

    def count(connection: Connection) -> LeaseFigures:
        sql = driver(connection)
        states = {state: int(number) for state, number in sql.execute(_STATES)}
        unreconciled = states.get("unreconciled", 0)
        most: dict[str, int] = {}
        for lease_id, definition, remaining in sql.execute(_UNRECONCILED) if unreconciled else ():
            if json.loads(definition)["measure"] == Measure.COST:
                most[lease_id] = max(most.get(lease_id, 0), int(remaining))
        return LeaseFigures(states.get("open", 0), unreconciled, Money(sum(most.values())))

    return lambda: database.read(count)
