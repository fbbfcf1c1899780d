"""Leases: money moved from every budget on a path into a hold, before it is spent.

::

    open ──expired──▶ unreconciled ──its spans came, or grace passed, or released──▶ closed
      └──given back──────────────────────────────────────────────────────────────────▲

A single decision is a lease for one call. Everything here runs inside a change of the database's one writer, so that for
every budget *spent + unreconciled + held* is looked at and added to without anybody in between.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from p402.collector.budgets.budget import BudgetSet
from p402.collector.budgets.path import AccountKey, BudgetPath
from p402.collector.storage.account_memory import Change
from p402.collector.storage.accounts import change_accounts
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.transaction import Rows, insert_later
from p402.decisions import Measure
from p402.vocabulary import Attribution

__all__ = [
    "COUNTS_NO_MORE",
    "GivenBack",
    "Lease",
    "LeaseKind",
    "LeaseState",
    "expire_leases",
    "give_back",
    "holds_of",
    "lease_by_id",
    "lease_of_row",
    "open_lease",
    "release",
]

_LEASE = "id, kind, state, key_id, organisation, attribution, calls, opened_at, expires_at"
_LEASES = Rows(
    "leases", "id, kind, state, key_id, organisation, attribution, calls, opened_at, expires_at, changed_at", 1
)
_HOLDS = Rows("lease_holds", "lease_id, budget_id, node, period_start, remaining, counts_until", 2)
_AT_ONCE = 1_000  # leases that one look expires

COUNTS_NO_MORE = "EXISTS (SELECT 1 FROM lease_holds WHERE lease_id = leases.id AND remaining > 0 AND counts_until <= ?)"
"""A condition on leases: something that they hold has grown old."""


class LeaseKind(StrEnum):
    """What a hold is for."""

    LEASE = "lease"
    """Many calls, decided by its holder."""
    DECISION = "decision"
    """One call."""
    AUTHORIZE = "authorize"
    """One request of a service that is not instrumented; it only expires."""


class LeaseState(StrEnum):
    """Where a lease is in its life."""

    OPEN = "open"
    UNRECONCILED = "unreconciled"
    """Expired with something left: it counts against the caps until it is known what became of it."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A hold and who has it."""

    id: str
    kind: LeaseKind
    state: LeaseState
    key_id: str
    organisation: str
    attribution: Attribution
    calls: int
    """Charges that have come under it."""
    opened_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class GivenBack:
    """What became of a lease that its holder gave back, wholly or in part."""

    state: LeaseState
    missing_calls: int
    """Charges that the holder says there are and that have not come: nothing is released before they do."""


@dataclass(slots=True)
class Hold:
    """What a lease still holds of one budget."""

    node: str
    period_start: int
    remaining: int
    counts_until: int | None
    """Milliseconds; after that nothing is unreconciled: a rate has a short memory, and a call under way ends."""


def open_lease(
    sql: Driver,
    *,
    id_: str,
    kind: LeaseKind,
    key_id: str,
    attribution: Attribution,
    path: BudgetPath,
    amounts: Mapping[Measure, int],
    at: datetime,
    longest: timedelta,
) -> datetime:
    """Move amounts from the budgets of a path (whose accounts are open) into a new lease; returns when it expires."""
    places = path.places(at)
    expires_at = at + longest
    if places.ends_at is not None and places.ends_at < expires_at:
        expires_at = places.ends_at  # money of this month cannot pay for calls of the next
    now, expires = to_millis(at), to_millis(expires_at)
    changes: dict[AccountKey, Change] = {}
    rows: list[tuple[object, ...]] = []
    for account, measure, counts_for in places.held:  # the last of its calls may begin when the lease expires
        if (amount := amounts.get(measure)) is not None:
            rows.append((id_, *account, amount, None if counts_for is None else expires + counts_for))
            changes[account] = Change(0, amount)
    change_accounts(sql, changes)
    whose = key_id, attribution.organisation or "", _written(attribution)
    row = (id_, kind.value, LeaseState.OPEN.value, *whose, 0, now, expires, now)
    insert_later(sql, _LEASES, [row])
    insert_later(sql, _HOLDS, rows)
    return expires_at


@functools.lru_cache(maxsize=1024)
def _written(attribution: Attribution) -> str:
    return json.dumps({level.value: value for level, value in attribution if value is not None})


def lease_by_id(sql: Driver, lease_id: str) -> Lease | None:
    """Find a lease."""
    row = sql.execute(f"SELECT {_LEASE} FROM leases WHERE id = ?", (lease_id,)).fetchone()
    return None if row is None else lease_of_row(row)


def holds_of(sql: Driver, lease_id: str) -> dict[int, Hold]:
    """Give what a lease still holds, by budget."""
    rows = sql.execute(
        "SELECT budget_id, node, period_start, remaining, counts_until FROM lease_holds WHERE lease_id = ?", (lease_id,)
    )
    return {
        budget_id: Hold(node, int(start), int(remaining), until) for budget_id, node, start, remaining, until in rows
    }


def give_back(
    sql: Driver, lease: Lease, budgets: BudgetSet, *, calls: int, keep: Mapping[Measure, int], at: datetime
) -> GivenBack:
    """Release what the holder of a lease does not need any more.

    Args:
        sql: of the change this is part of.
        lease: as it is now.
        budgets: of its organisation.
        calls: how many calls under it have been billed; what of them has not come yet keeps everything held.
        keep: what calls under way still need; nothing closes the lease.
        at: now.
    """
    missing = max(0, calls - lease.calls)
    if missing == 0 and lease.state is not LeaseState.CLOSED:
        kept = {id_: keep.get(measure, 0) for id_ in holds_of(sql, lease.id) if (measure := budgets.measure_of(id_))}
        release(sql, lease, kept, at)
        lease = lease_by_id(sql, lease.id) or lease
    return GivenBack(lease.state, missing)


def release(sql: Driver, lease: Lease, keep: Mapping[int, int], at: datetime) -> None:
    """Take what a lease holds down to what is kept, by budget; with nothing kept it is closed."""
    changes: dict[AccountKey, Change] = {}
    rows = []
    for budget_id, hold in holds_of(sql, lease.id).items():
        freed = max(0, hold.remaining - keep.get(budget_id, 0))
        if freed:
            changes[budget_id, hold.node, hold.period_start] = _less(lease.state, freed)
            rows.append((hold.remaining - freed, lease.id, budget_id))
    change_accounts(sql, changes)
    if rows:
        sql.executemany("UPDATE lease_holds SET remaining = ? WHERE lease_id = ? AND budget_id = ?", rows)
    if not any(keep.values()):
        _set_state(sql, lease.id, LeaseState.CLOSED, at)


def expire_leases(connection: Connection, at: datetime, settle_within: timedelta, grace: timedelta) -> int:
    """Make leases that are past their time unreconciled, and let go of those whose grace is over; returns how many.

    Args:
        connection: of the change this is part of.
        at: now.
        settle_within: how long after its end the spans of a lease may take to come.
        grace: how long something unreconciled counts against the caps, from when it became so or a charge took of it.
    """
    sql = driver(connection)
    expired = _leases_due(sql, LeaseState.OPEN, "expires_at < ?", at - settle_within)
    for lease in expired:
        release(sql, lease, {} if lease.kind is LeaseKind.AUTHORIZE else _counting(sql, lease, at), at)
        if (lease_by_id(sql, lease.id) or lease).state is LeaseState.OPEN:
            change_accounts(
                sql,
                {
                    (budget_id, hold.node, hold.period_start): Change(held=-hold.remaining, unreconciled=hold.remaining)
                    for budget_id, hold in holds_of(sql, lease.id).items()
                },
            )
            _set_state(sql, lease.id, LeaseState.UNRECONCILED, at)
    aged = _leases_due(sql, LeaseState.UNRECONCILED, COUNTS_NO_MORE, at)
    for lease in aged:
        release(sql, lease, _counting(sql, lease, at), at)
    forgotten = _leases_due(sql, LeaseState.UNRECONCILED, "changed_at <= ?", at - grace)
    for lease in forgotten:
        release(sql, lease, {}, at)
    return len(expired) + len(aged) + len(forgotten)


def _counting(sql: Driver, lease: Lease, at: datetime) -> dict[int, int]:
    """Give what of a lease's holds still counts after its end, by budget."""
    now = to_millis(at)
    return {
        budget_id: hold.remaining
        for budget_id, hold in holds_of(sql, lease.id).items()
        if hold.counts_until is None or hold.counts_until > now
    }


def _leases_due(sql: Driver, state: LeaseState, due: str, moment: datetime) -> list[Lease]:
    rows = sql.execute(
        f"SELECT {_LEASE} FROM leases WHERE state = ? AND {due} ORDER BY expires_at, id LIMIT {_AT_ONCE}",
        (state.value, to_millis(moment)),
    ).fetchall()
    return [lease_of_row(row) for row in rows]


def _set_state(sql: Driver, lease_id: str, state: LeaseState, at: datetime) -> None:
    sql.execute("UPDATE leases SET state = ?, changed_at = ? WHERE id = ?", (state.value, to_millis(at), lease_id))


def _less(state: LeaseState, amount: int) -> Change:
    return Change(unreconciled=-amount) if state is LeaseState.UNRECONCILED else Change(held=-amount)


def lease_of_row(row: Sequence[Any]) -> Lease:
    """Read a lease from its columns in the order of the table, without the last."""
    id_, kind, state, key_id, organisation, attribution, calls, opened_at, expires_at = row
    return Lease(
        id=id_,
        kind=LeaseKind(kind),
        state=LeaseState(state),
        key_id=key_id,
        organisation=organisation,
        attribution=Attribution(**json.loads(attribution)),
        calls=calls,
        opened_at=from_millis(opened_at),
        expires_at=from_millis(expires_at),
    )
