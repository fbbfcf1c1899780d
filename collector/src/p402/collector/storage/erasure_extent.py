"""What there is of a person in the ledger, and what of it a hold keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from p402.collector.privacy.holds import Hold, Locate, matters_over
from p402.collector.storage.driver import Driver, driver
from p402.vocabulary import Attribution

__all__ = ["Extent", "Owner", "extent_of", "times_of"]

_OWNERS = "SELECT id, organisation, department, project, client, employee, session FROM scopes WHERE organisation = ?"
_THEIR_SESSIONS = "SELECT session FROM scopes WHERE organisation = ? AND employee = ? AND session <> ''"
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Owner:
    """A row of ``scopes``: a session, or the calls without one, of one owner."""

    scope_id: int
    whose: Attribution

    @property
    def session(self) -> str:
        """The session's name, empty where there is none."""
        return self.whose.session or ""


@dataclass(frozen=True, slots=True)
class Extent:
    """A person's part of the ledger."""

    free: Sequence[Owner]
    """What can be erased: their sessions, and those of nobody known that have the name of one of theirs."""
    held: Sequence[Owner]
    matters: Sequence[str]
    """For which that is held."""
    shared: frozenset[str]
    """Names of their sessions that calls of other people carry too: those people's stay."""

    @property
    def whole(self) -> bool:
        """Whether nothing of the person is held."""
        return not self.held

    @property
    def sessions(self) -> list[str]:
        """Names of sessions that are to be erased."""
        return sorted({owner.session for owner in self.free if owner.session})


def extent_of(
    connection: Connection, organisation: str, employee: str, holds: Sequence[Hold], locate: Locate
) -> Extent:
    """Find a person in the ledger. Sessions of one name are held together: a name is kept or erased."""
    sql = driver(connection)
    theirs = [_owner(row) for row in sql.execute(f"{_OWNERS} AND employee = ?", (organisation, employee))]
    shared = sql.execute(
        "SELECT DISTINCT session FROM scopes WHERE organisation = ? AND employee <> '' AND employee <> ?"
        f" AND session IN ({_THEIR_SESSIONS})",
        (organisation, employee, organisation, employee),
    )
    names = frozenset(name for (name,) in shared)
    nobodys = sql.execute(
        f"{_OWNERS} AND employee = '' AND session IN ({_THEIR_SESSIONS})", (organisation, organisation, employee)
    )
    owners = [*theirs, *(owner for owner in map(_owner, nobodys) if owner.session not in names)]
    matters: dict[int, list[str]] = {}
    if holds:
        times = times_of(sql, [owner.scope_id for owner in owners])
        for owner in owners:
            if owner.scope_id in times:
                matters[owner.scope_id] = matters_over(holds, owner.whose, *times[owner.scope_id], locate)
    kept = {owner.session for owner in owners if matters.get(owner.scope_id) and owner.session}
    held = [owner for owner in owners if matters.get(owner.scope_id) or owner.session in kept]
    held_ids = {owner.scope_id for owner in held}
    return Extent(
        free=[owner for owner in owners if owner.scope_id not in held_ids],
        held=held,
        matters=sorted({matter for found in matters.values() for matter in found}),
        shared=names,
    )


def times_of(sql: Driver, scope_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Give when the first call of each scope began and the last ended, in milliseconds; one without calls is left out."""
    found: dict[int, tuple[int, int]] = {}
    for begin in range(0, len(scope_ids), _AT_ONCE):
        some = scope_ids[begin : begin + _AT_ONCE]
        rows = sql.execute(
            "SELECT scope_id, MIN(started_at), MAX(ended_at) FROM charges"
            f" WHERE scope_id IN ({', '.join('?' * len(some))}) GROUP BY scope_id",
            some,
        )
        found |= {int(scope_id): (int(first), int(last)) for scope_id, first, last in rows}
    return found


def _owner(row: Sequence[object]) -> Owner:
    scope_id, *levels = row
    return Owner(int(str(scope_id)), Attribution(*(str(level) or None for level in levels)))
