"""Expiring leases: a look that only reads, and a change where there is something to do."""

from __future__ import annotations

from datetime import datetime, timedelta

from p402.collector.budgets.keep import Expire
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.leases import COUNTS_NO_MORE, expire_leases

__all__ = ["lease_expiry"]

_DUE = (
    "SELECT 1 FROM leases WHERE state = 'open' AND expires_at < ?"
    f" OR state = 'unreconciled' AND (changed_at <= ? OR {COUNTS_NO_MORE}) LIMIT 1"
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
