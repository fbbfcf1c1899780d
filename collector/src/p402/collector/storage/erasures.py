"""Erasing a person: their disclosures and key deleted, their names replaced by pseudonyms, an entry in the log.

One change takes the person out of the vault, the tree and its sums, and puts their names onto the list of suppressed
ones, in the database and in a file beside it. What was written down about single calls is gone through afterwards, some
rows at a time; names that this still needs are kept encrypted until it is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from p402.collector.privacy.holds import Held
from p402.collector.privacy.pseudonyms import new_pseudonym
from p402.collector.privacy.suppression_file import SuppressedName, SuppressionFile
from p402.collector.privacy.vault_keys import PERSON, SESSION
from p402.collector.storage.audit import record_audit
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.directory import forget_listed
from p402.collector.storage.driver import driver
from p402.collector.storage.erasure_entries import record_erased
from p402.collector.storage.erasure_extent import Extent, extent_of
from p402.collector.storage.erasure_nodes import replace_nodes
from p402.collector.storage.erasure_people import people_of
from p402.collector.storage.erasure_rows import ErasureState, StoredErasure, erasure_at, erasure_by_id
from p402.collector.storage.erasure_sweep import SweepWork, sweep_some
from p402.collector.storage.erasure_vault import empty_vault
from p402.collector.storage.exports import forget_disclosing
from p402.collector.storage.holds import active_holds
from p402.collector.storage.log import Signers
from p402.collector.storage.privacy_tables import erasures
from p402.collector.storage.rule_changes import rules_changed
from p402.collector.storage.suppressions import pseudonym_of, suppress_name
from p402.collector.storage.vault import Vault, person
from p402.collector.storage.web_sessions import forget_person
from p402.vocabulary import IdFactory

__all__ = ["Erasures"]

_ROWS_AT_ONCE = 2_000
_NOTHING = Extent(free=(), held=(), matters=(), shared=frozenset())


class Erasures:
    """Erases, inside changes."""

    def __init__(self, vault: Vault, signers: Signers, file: SuppressionFile, new_id: IdFactory) -> None:
        self._vault = vault
        self._signers = signers
        self._file = file
        self._new_id = new_id

    def erase(
        self,
        connection: Connection,
        organisation: str,
        employee: str,
        legal_basis: str,
        by: str | None,
        key_id: str | None,
        at: datetime,
    ) -> StoredErasure:
        """Erase a person, or what is left of them; `sweep` must follow until it has nothing to do.

        Raises:
            Held: if legal holds keep all that there is, naming their matters.
        """
        place = self._vault.place(organisation, person(employee))
        known = erasure_at(connection, place)
        extent = self._extent(connection, organisation, employee, place)
        row = {
            "id": known.id if known else self._new_id("era", at),
            "pseudonym": known.pseudonym if known else new_pseudonym(),
            "legal_basis": known.legal_basis if known else legal_basis,
        }
        if known is None:
            fresh = {"place": place, "key_id": key_id, "requested_at": to_millis(at), "state": "sweeping"}
            counts = {"erased": 0, "held_back": 0, "matters": "[]", "organisation": organisation}
            connection.execute(insert(erasures).values(**row, **fresh, **counts))
        self._carry_out(connection, organisation, employee, extent, row["id"], by, at, first=known is None)
        return _required(erasure_by_id(connection, organisation, row["id"]))

    def sweep(self, connection: Connection) -> bool:
        """Go on with what the oldest erasure has left to go through; tells whether there may be more."""
        query = select(erasures).where(erasures.c.work.is_not(None)).order_by(erasures.c.requested_at, erasures.c.id)
        row = connection.execute(query.limit(1)).one_or_none()
        if row is None:
            return False
        holds = active_holds(connection, row.organisation)
        work = SweepWork.from_bytes(self._vault.keys.unwrap(row.work, row.id.encode()))
        left = sweep_some(connection, row.organisation, work, holds, self._vault.keys.locate, _ROWS_AT_ONCE)
        values: dict[str, Any] = {"work": None if left is None else self._wrapped(left, row.id)}
        if left is None:
            values["state"] = _end_state(row.held_back, whole=work.whole).value
        connection.execute(update(erasures).where(erasures.c.id == row.id).values(values))
        return True

    def held_people(self, connection: Connection, organisation: str) -> Mapping[bytes, str | None]:
        """Give the names of those of whom holds keep something, by their place; None: there are disclosures at most.

        This reads much, so it belongs into a query before the change. What it gives stays true: nothing new comes under
        these names.
        """
        places = [
            bytes(place) for place in connection.execute(select(erasures.c.place).where(_held(organisation))).scalars()
        ]
        people = self._people(connection, organisation) if places else {}
        return {place: people.get(place) for place in places}

    def complete(
        self, connection: Connection, organisation: str, people: Mapping[bytes, str | None], at: datetime
    ) -> int:
        """Erase what holds kept and no hold keeps any more; returns in how many erasures there was something.

        Args:
            connection: of the change that released a hold.
            organisation: whose hold it was.
            people: what `held_people` gave.
            at: now.
        """
        query = select(erasures).where(_held(organisation))
        done = 0
        for row in connection.execute(query.order_by(erasures.c.requested_at)).all():
            place = bytes(row.place)
            if place not in people:  # held since the query
                people = self.held_people(connection, organisation)
            employee = people[place]
            try:
                extent = _NOTHING if employee is None else self._extent(connection, organisation, employee, row.place)
            except Held:
                continue
            self._carry_out(connection, organisation, employee, extent, row.id, None, at, first=False)
            done += 1
        return done

    def replay(self, connection: Connection, at: datetime) -> int:
        """Apply erasures that the list beside the database knows and the database does not; returns how many.

        So a restored backup loses again what was erased since it was made.
        """
        sql = driver(connection)
        listed: dict[bytes, SuppressedName] = {}
        for name in self._file.read():
            listed.setdefault(name.place, name)  # an old list may have a place twice
        unknown = [name for name in listed.values() if pseudonym_of(sql, name.place) is None]
        for name in unknown:
            suppress_name(
                sql, name.organisation, name.kind, name.place, name.pseudonym, name.erasure_id, from_millis(name.at)
            )
        people = [name for name in unknown if name.kind == PERSON]
        known = {whose: self._people(connection, whose) for whose in {name.organisation for name in people}}
        for name in people:
            row = {
                "id": name.erasure_id,
                "organisation": name.organisation,
                "place": name.place,
                "pseudonym": name.pseudonym,
                "legal_basis": name.legal_basis,
                "requested_at": name.at,
                "state": ErasureState.SWEEPING.value,
            }
            connection.execute(insert(erasures).values(**row, erased=0, held_back=0, matters="[]"))
            self._again(connection, name, known[name.organisation].get(name.place), at)
        return len(people)

    def write_missing_lines(self, connection: Connection) -> None:
        """Add to the list beside the database what only the database knows, such as what another collector erased."""
        known = {name.place for name in self._file.read()}
        rows = driver(connection).execute(
            "SELECT suppressions.organisation, kind, suppressions.place, suppressions.pseudonym, erasure_id, legal_basis,"
            " made_at FROM suppressions JOIN erasures ON erasures.id = erasure_id ORDER BY suppressions.id"
        )
        self._file.add(_line(row) for row in rows if bytes(row[2]) not in known)

    def _again(self, connection: Connection, name: SuppressedName, employee: str | None, at: datetime) -> None:
        if employee is None:  # nothing of theirs is in the tree; there may be disclosures
            extent = _NOTHING
        else:
            try:
                extent = self._extent(connection, name.organisation, employee, name.place)
            except Held as held:
                values = {"state": ErasureState.HELD.value, "matters": json.dumps(held.matters)}
                connection.execute(update(erasures).where(erasures.c.id == name.erasure_id).values(values))
                return
        self._carry_out(connection, name.organisation, employee, extent, name.erasure_id, None, at, first=True)

    def _extent(self, connection: Connection, organisation: str, employee: str, place: bytes) -> Extent:
        holds = active_holds(connection, organisation)
        extent = extent_of(connection, organisation, employee, holds, self._vault.keys.locate)
        over_all = sorted({hold.matter for hold in holds if hold.holds_all_of(place)})
        if over_all or (extent.held and not extent.free):
            raise Held(over_all or extent.matters)
        return extent

    def _carry_out(
        self,
        connection: Connection,
        organisation: str,
        employee: str | None,
        extent: Extent,
        erasure_id: str,
        by: str | None,
        at: datetime,
        *,
        first: bool,
    ) -> None:
        sql = driver(connection)
        row = connection.execute(select(erasures).where(erasures.c.id == erasure_id)).one()
        lines = [(PERSON, row.place, row.pseudonym)]
        sessions = {}
        for session in extent.sessions:
            place = self._vault.keys.locate(SESSION, organisation, session)
            found = pseudonym_of(sql, place)
            sessions[session] = new_pseudonym() if found is None else found[0]
            if session not in extent.shared:  # a name that others go on using is suppressed for nobody else
                lines.append((SESSION, place, sessions[session]))
        if employee is not None:
            forget_listed(sql, organisation, employee)  # before the vault is asked whether the key is needed
        digests, held_back, matters = empty_vault(connection, self._vault, organisation, row.place, extent)
        for kind, place, pseudonym in lines:
            suppress_name(sql, organisation, kind, place, pseudonym, erasure_id, at)
        values: dict[str, Any] = {
            "erased": row.erased + len(digests),
            "held_back": held_back,
            "matters": json.dumps(matters),
            "scrubbed_at": None,
        }
        if employee is not None:
            if extent.whole:
                forget_person(sql, organisation, employee, row.pseudonym, at)
            replace_nodes(connection, organisation, employee, row.pseudonym, sessions, extent)
            work = SweepWork(employee, row.pseudonym, sessions, extent.whole, sorted(extent.shared & sessions.keys()))
            values |= {"work": self._wrapped(work, erasure_id), "state": ErasureState.SWEEPING.value}
        else:
            values["state"] = _end_state(held_back, whole=True).value
        if first or digests:
            seq = record_erased(
                connection,
                self._vault,
                self._signers,
                organisation,
                erasure_id,
                legal_basis=row.legal_basis,
                digests=digests,
                held_back=held_back,
                by=by,
                at=at,
            )
            values["seq"] = seq if row.seq is None else row.seq
        connection.execute(update(erasures).where(erasures.c.id == erasure_id).values(values))
        rules_changed(connection, organisation)
        forget_disclosing(connection, organisation)
        detail = {"pseudonym": row.pseudonym, "legal_basis": row.legal_basis, "held_back": held_back}
        record_audit(
            sql,
            organisation,
            actor=row.key_id or "",
            action="person.erased",
            subject=erasure_id,
            detail=detail,
            at=at,
        )
        self._file.add(
            _line((organisation, kind, place, pseudonym, erasure_id, row.legal_basis, to_millis(at)))
            for kind, place, pseudonym in lines
        )

    def _people(self, connection: Connection, organisation: str) -> Mapping[bytes, str]:
        """Give the names in an organisation's records by their place; who has none there has disclosures at most."""
        return {self._vault.place(organisation, person(name)): name for name in people_of(connection, organisation)}

    def _wrapped(self, work: SweepWork, erasure_id: str) -> bytes:
        return self._vault.keys.wrap(work.to_bytes(), erasure_id.encode())


def _line(row: Sequence[Any]) -> SuppressedName:
    organisation, kind, place, pseudonym, erasure_id, legal_basis, at = row
    return SuppressedName(
        organisation=organisation,
        kind=kind,
        place=bytes(place),
        pseudonym=pseudonym,
        erasure_id=erasure_id,
        legal_basis=legal_basis,
        at=at,
    )


def _held(organisation: str) -> ColumnElement[bool]:
    return (erasures.c.organisation == organisation) & (erasures.c.state == ErasureState.HELD.value)


def _end_state(held_back: int, *, whole: bool) -> ErasureState:
    return ErasureState.DONE if whole and not held_back else ErasureState.HELD


def _required(found: StoredErasure | None) -> StoredErasure:
    assert found is not None, "it was stored in this very change"
    return found
