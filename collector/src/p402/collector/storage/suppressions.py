"""Names that were erased and may come again, in late spans or from clients that still know them.

Where one is taken in, its pseudonym takes its place, before anything is stored. The list holds keyed digests, no names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from p402.collector.privacy.pseudonyms import new_pseudonym
from p402.collector.privacy.vault_keys import PERSON, SESSION, VaultKeys
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.driver import Driver
from p402.collector.storage.rule_changes import rules_version
from p402.vocabulary import Attribution

__all__ = ["Suppressions", "pseudonym_of", "suppress_name"]

_MAX_REMEMBERED = 10_000  # organisations, and owners of calls in each
_INSERT = (
    "INSERT INTO suppressions (organisation, kind, place, pseudonym, erasure_id, made_at) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)


def pseudonym_of(sql: Driver, place: bytes) -> tuple[str, str] | None:
    """Give the pseudonym at a place, and the erasure that made it; None if nothing was erased there."""
    row = sql.execute("SELECT pseudonym, erasure_id FROM suppressions WHERE place = ?", (place,)).fetchone()
    return None if row is None else (str(row[0]), str(row[1]))


def suppress_name(
    sql: Driver, organisation: str, kind: str, place: bytes, pseudonym: str, erasure_id: str, at: datetime
) -> None:
    """Have a pseudonym take the place of a name from now on."""
    sql.execute(_INSERT, (organisation, kind, place, pseudonym, erasure_id, to_millis(at)))


@dataclass(slots=True)
class _Known:
    """What is remembered of one organisation, until its rules change: an erasure counts as a change of them."""

    version: int
    any: bool
    applied: dict[Attribution, Attribution] = field(default_factory=dict)


class Suppressions:
    """Replaces erased names in what is taken in; used by the writer only, so it sees what was committed before."""

    def __init__(self, keys: VaultKeys) -> None:
        self._keys = keys
        self._on_change: list[Callable[[], None]] = []
        self._remembered: dict[str, _Known] = {}

    def on_change(self, forget: Callable[[], None]) -> None:
        """Register what must be forgotten when names may have been erased."""
        self._on_change.append(forget)

    def forget(self) -> None:
        """Forget what was looked up, as when a change is undone."""
        self._remembered.clear()

    def any(self, sql: Driver, organisation: str) -> bool:
        """Tell whether anything of an organisation was ever erased."""
        return self._of(sql, organisation).any

    def apply(self, sql: Driver, whose: Attribution, at: datetime) -> Attribution:
        """Give an attribution without erased names."""
        known = self._of(sql, whose.organisation or "")
        if not known.any:
            return whose
        applied = known.applied.get(whose)
        if applied is None:
            applied = self._look_up(sql, whose, at)
            if len(known.applied) >= _MAX_REMEMBERED:
                known.applied.clear()
            known.applied[whose] = applied
        return applied

    def among(self, sql: Driver, owners: Iterable[Attribution], at: datetime) -> dict[Attribution, Attribution]:
        """Give the owners that have erased names in them, each as it is known now; none of them, nearly always."""
        by_organisation: dict[str, set[Attribution]] = {}
        for whose in owners:
            by_organisation.setdefault(whose.organisation or "", set()).add(whose)
        found: dict[Attribution, Attribution] = {}
        for organisation, theirs in by_organisation.items():
            if self.any(sql, organisation):
                found |= {whose: known_as for whose in theirs if (known_as := self.apply(sql, whose, at)) != whose}
        return found

    def sessions(self, sql: Driver, organisation: str, session: str) -> list[str]:
        """Give what sessions of a name are called: its pseudonym if it was erased, and the name if somebody uses it."""
        if not self.any(sql, organisation):
            return [session]
        found = pseudonym_of(sql, self._keys.locate(SESSION, organisation, session))
        if found is None:
            return [session]
        used = "SELECT 1 FROM scopes WHERE organisation = ? AND session = ? LIMIT 1"
        return [found[0], *([session] if sql.execute(used, (organisation, session)).fetchone() else ())]

    def _of(self, sql: Driver, organisation: str) -> _Known:
        version = rules_version(sql, organisation)
        known = self._remembered.get(organisation)
        if known is None or known.version != version:
            row = sql.execute("SELECT 1 FROM suppressions WHERE organisation = ? LIMIT 1", (organisation,)).fetchone()
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            known = self._remembered[organisation] = _Known(version, row is not None)
            if known.any:
                for forget in self._on_change:
                    forget()
        return known

    def _look_up(self, sql: Driver, whose: Attribution, at: datetime) -> Attribution:
        organisation, employee, session = whose.organisation or "", whose.employee, whose.session
        erased = None if employee is None else pseudonym_of(sql, self._keys.locate(PERSON, organisation, employee))
        if employee is not None and erased is None:
            return whose  # another person's session of the same name is theirs
        if session is not None:
            place = self._keys.locate(SESSION, organisation, session)
            found = pseudonym_of(sql, place)
            if found is None and erased is not None:  # a session that the person began after the erasure
                found = new_pseudonym(), erased[1]
                suppress_name(sql, organisation, SESSION, place, *found, at)
            session = session if found is None else found[0]
        return replace(whose, employee=None if erased is None else erased[0], session=session)
