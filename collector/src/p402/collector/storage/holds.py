"""Legal holds: placed, released, and asked by whatever erases or prunes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from p402.collector.notifications.events import Event, EventType
from p402.collector.privacy.holds import Hold
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.log import Signers, append_entry
from p402.collector.storage.outbox import publish
from p402.collector.storage.privacy_tables import holds
from p402.collector.storage.vault import Kept, Subject, Vault, digest_of, person, subject_of_session
from p402.receipts import CommittedEntry, EntryPlace, HoldAction, hold_entry, open_disclosure
from p402.vocabulary import Attribution, Permanent, rfc3339

__all__ = ["HoldReleased", "Holds", "StoredHold", "active_holds", "hold_by_id", "holds_page"]

HOLD_TYPE = "hold"
_MATTER = "matter"


class HoldReleased(Permanent):
    """The hold was released before; the message says when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHold:
    """A hold as it was placed, and what became of it. Whom it names is in the vault."""

    hold: Hold
    placed_at: datetime
    placed_seq: int
    released_at: datetime | None
    released_seq: int | None

    @property
    def names_somebody(self) -> bool:
        """Whether its scope names an employee or a session."""
        return self.hold.person is not None or self.hold.session is not None


class Holds:
    """The holds of a collector, inside changes and queries."""

    def __init__(self, vault: Vault, signers: Signers) -> None:
        self._vault = vault
        self._signers = signers

    def place(
        self,
        connection: Connection,
        hold_id: str,
        scope: Attribution,
        matter: str,
        begin: datetime | None,
        end: datetime | None,
        by: str,
        reason: str | None,
        at: datetime,
    ) -> StoredHold:
        """Place a hold on everything that fits a scope, from one time to another."""
        organisation = scope.organisation or ""
        entry = self._record(connection, hold_id, HoldAction.PLACED, scope, matter, begin, end, by, reason, at)
        named = {
            "person": scope.employee and person(scope.employee),
            "session": scope.session and _session(scope.session),
        }
        row = {
            "id": hold_id,
            "organisation": organisation,
            "matter": matter,
            "department": scope.department,
            "project": scope.project,
            "client": scope.client,
            **{name: subject and self._vault.place(organisation, subject) for name, subject in named.items()},
            "begins_at": None if begin is None else to_millis(begin),
            "ends_at": None if end is None else to_millis(end),
            "placed_at": to_millis(at),
            "placed_seq": entry.seq,
        }
        connection.execute(insert(holds).values(row))
        publish(connection, _created(hold_id, scope, matter, begin, end, at))
        return _required(hold_by_id(connection, organisation, hold_id))

    def release(
        self, connection: Connection, organisation: str, hold_id: str, by: str, reason: str | None, at: datetime
    ) -> StoredHold | None:
        """Release a hold; None if there is no such hold.

        Raises:
            HoldReleased: if that was done before.
        """
        found = hold_by_id(connection, organisation, hold_id)
        if found is None:
            return None
        if found.released_at is not None:
            raise HoldReleased(f"The hold {hold_id} was released at {rfc3339(found.released_at)}.")
        hold = found.hold
        said = self._vault.values(connection, organisation, [found.placed_seq]).get(found.placed_seq, {})
        scope = Attribution(
            organisation, hold.department, hold.project, hold.client, said.get("employee"), said.get("session_id")
        )
        begin, end = (None if at_ is None else from_millis(at_) for at_ in (hold.begins_at, hold.ends_at))
        entry = self._record(connection, hold_id, HoldAction.RELEASED, scope, hold.matter, begin, end, by, reason, at)
        connection.execute(
            update(holds).where(holds.c.id == hold_id).values(released_at=to_millis(at), released_seq=entry.seq)
        )
        return hold_by_id(connection, organisation, hold_id)

    def _record(
        self,
        connection: Connection,
        hold_id: str,
        action: HoldAction,
        scope: Attribution,
        matter: str,
        begin: datetime | None,
        end: datetime | None,
        by: str,
        reason: str | None,
        at: datetime,
    ) -> CommittedEntry:
        organisation = scope.organisation or ""

        def make(seq: int, prev: bytes) -> CommittedEntry:
            return hold_entry(
                EntryPlace(organisation=organisation, seq=seq, prev=prev, issued_at=at),
                hold_id=hold_id,
                action=action,
                matter=matter,
                scope=scope,
                begin=begin,
                end=end,
                by=by,
                reason=reason,
            )

        entry = append_entry(connection, organisation, HOLD_TYPE, make, self._signers.signer(organisation), at)
        about = subject_of_session(scope.employee, scope.session) if scope.employee or scope.session else None
        self._vault.keep(
            connection,
            organisation,
            entry.seq,
            [Kept(text, _subject(text, about or Subject(_MATTER, matter), by)) for text in entry.disclosures],
        )
        return entry


def hold_by_id(connection: Connection, organisation: str, hold_id: str) -> StoredHold | None:
    """Give one hold of an organisation, None if there is none."""
    query = select(holds).where(holds.c.organisation == organisation, holds.c.id == hold_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _stored(row)


def holds_page(
    connection: Connection, organisation: str, before: tuple[int, str] | None, limit: int, *, active: bool = False
) -> list[StoredHold]:
    """Give the holds of an organisation before one of them (its time in milliseconds, and its id), the newest first."""
    query = select(holds).where(holds.c.organisation == organisation)
    if active:
        query = query.where(holds.c.released_at.is_(None))
    if before is not None:
        moment, id_ = before
        query = query.where((holds.c.placed_at < moment) | ((holds.c.placed_at == moment) & (holds.c.id < id_)))
    rows = connection.execute(query.order_by(holds.c.placed_at.desc(), holds.c.id.desc()).limit(limit))
    return [_stored(row) for row in rows]


def active_holds(connection: Connection, organisation: str) -> list[Hold]:
    """Give the holds of an organisation that are not released."""
    query = select(holds).where(holds.c.organisation == organisation, holds.c.released_at.is_(None))
    return [_stored(row).hold for row in connection.execute(query.order_by(holds.c.placed_at, holds.c.id))]


def _session(name: str) -> Subject:
    return subject_of_session(None, name)


def _subject(disclosure: str, about: Subject, by: str) -> Subject:
    """Tell whom a disclosure of a hold is about: its reason is about whom the hold names."""
    name, _ = open_disclosure((digest_of(disclosure),), disclosure)
    return person(by) if name == "by" else about


def _required(found: StoredHold | None) -> StoredHold:
    assert found is not None, "it was stored in this very change"
    return found


def _stored(row: Row[Any]) -> StoredHold:
    names: Sequence[str] = ("id", "organisation", "matter", "department", "project", "client", "person", "session")
    found = row._mapping  # noqa: SLF001 - how SQLAlchemy names its public mapping
    return StoredHold(
        hold=Hold(**{name: found[name] for name in names}, begins_at=row.begins_at, ends_at=row.ends_at),
        placed_at=from_millis(row.placed_at),
        placed_seq=row.placed_seq,
        released_at=None if row.released_at is None else from_millis(row.released_at),
        released_seq=row.released_seq,
    )


def _created(
    hold_id: str, scope: Attribution, matter: str, begin: datetime | None, end: datetime | None, at: datetime
) -> Event:
    """Tell that a hold was placed; whom it names is not told."""
    return Event(
        EventType.HOLD_CREATED,
        scope.organisation or "",
        {
            "summary": f"A legal hold was placed for the matter {matter}.",
            "hold_id": hold_id,
            "matter": matter,
            "department": scope.department,
            "project": scope.project,
            "client": scope.client,
            "names_a_person": scope.employee is not None or scope.session is not None,
            "from": None if begin is None else rfc3339(begin),
            "to": None if end is None else rfc3339(end),
        },
        at,
        dedupe_key=hold_id,
    )
