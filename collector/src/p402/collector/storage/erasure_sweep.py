"""Replaces a person's names in what was written down about single calls and changes: row by row, some at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection

from p402.collector.privacy.holds import Hold, Locate, matters_over
from p402.collector.privacy.pseudonyms import Names
from p402.collector.privacy.queued_spans import without_names
from p402.collector.storage.driver import driver
from p402.vocabulary import Attribution, Level

__all__ = ["SweepWork", "sweep_some"]


@dataclass(frozen=True, slots=True)
class _Table:
    """A table with names in it: which columns, and how they are written."""

    name: str
    key: str
    at: str
    json: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    """Texts that rows are found by as they were sent: one with a name in it finds nothing any more, and is taken out whole."""
    spans: str | None = None
    """The column with an encoded OTLP request."""
    whose: str | None = None
    """The column of JSON with the levels that a row is about."""
    which: str = "organisation = ?"
    most: int | None = None
    """Rows at once, where they are large."""


_TABLES = (
    _Table("leases", "id", "opened_at", json=("attribution",), whose="attribution"),
    _Table(
        "decisions",
        "id",
        "decided_at",
        json=("question",),
        texts=("rationale", "would"),
        lookups=("idempotency_key",),
        whose="question",
    ),
    _Table("events", "seq", "at", json=("payload",), texts=("dedupe_key",), whose="payload"),
    _Table("forward_batches", "seq", "recorded_at", spans="body", which="body IS NOT NULL AND ? <> ''", most=50),
    _Table("exports", "id", "created_at", json=("request",)),
    _Table("reconciliations", "id", "created_at", json=("keys",)),
    _Table("audit", "id", "at", json=("detail",), texts=("subject",)),
    _Table("alerts", "seq", "raised_at", texts=("note",)),
    _Table(
        "anomalies",
        "seq",
        "flagged_at",
        texts=("note",),
        which="scope_id IN (SELECT id FROM scopes WHERE organisation = ?)",
    ),
)


@dataclass(frozen=True, slots=True)
class SweepWork:
    """Names to be replaced, and how far that has come."""

    employee: str
    pseudonym: str
    sessions: Mapping[str, str]
    whole: bool
    """Whether nothing of the person is held: then their name goes from sentences too."""
    shared: Sequence[str] = ()
    """Names of their sessions that other people's calls carry too."""
    table: int = 0
    after: str | int | None = None

    def to_bytes(self) -> bytes:
        """Write it, to be encrypted."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> SweepWork:
        """Read what `to_bytes` wrote."""
        return cls(**json.loads(data))


def sweep_some(
    connection: Connection, organisation: str, work: SweepWork, holds: Sequence[Hold], locate: Locate, limit: int
) -> SweepWork | None:
    """Look through the next rows; gives the work that is left, None when all is done."""
    if work.table >= len(_TABLES):
        return None
    table, sql = _TABLES[work.table], driver(connection)
    columns = (*table.json, *table.texts, *table.lookups, *((table.spans,) if table.spans else ()))
    limit = limit if table.most is None else min(limit, table.most)
    where = table.which + ("" if work.after is None else f" AND {table.key} > ?")
    rows = sql.execute(
        f"SELECT {table.key}, {table.at}, {', '.join(columns)} FROM {table.name} WHERE {where} ORDER BY {table.key} LIMIT ?",
        (organisation, *(() if work.after is None else (work.after,)), limit),
    ).fetchall()
    own = {name: pseudonym for name, pseudonym in work.sessions.items() if name not in work.shared}
    everywhere = Names({work.employee: work.pseudonym} if work.whole else {}, own, words=False)
    about_them = Names({work.employee: work.pseudonym}, work.sessions)

    def held(whose: Attribution, at: int) -> bool:
        return bool(holds) and bool(matters_over(holds, whose, at, at, locate))

    for key, at, *values in rows:
        found = dict(zip(columns, values, strict=True))
        replaced = _replaced(table, found, organisation, at, everywhere, about_them, held)
        if replaced != found:
            assignments = ", ".join(f"{column} = ?" for column in columns)
            sql.execute(
                f"UPDATE {table.name} SET {assignments} WHERE {table.key} = ?",
                (*(replaced[name] for name in columns), key),
            )
    if len(rows) < limit:
        return replace(work, table=work.table + 1, after=None)
    return replace(work, after=rows[-1][0])


def _replaced(
    table: _Table,
    found: Mapping[str, Any],
    organisation: str,
    at: int,
    everywhere: Names,
    about_them: Names,
    held: Callable[[Attribution, int], bool],
) -> Mapping[str, Any]:
    documents = {name: json.loads(found[name]) for name in table.json}
    names = everywhere
    if table.whose is not None:
        whose = _levels(documents[table.whose], organisation)
        theirs = about_them.are_of(whose.employee)
        if theirs or (whose.employee is None and whose.session in everywhere.sessions):
            if held(whose, at):
                return found
            names = about_them if theirs else replace(everywhere, employees=about_them.employees, words=True)
    replaced = dict(found)
    for name, document in documents.items():
        if (written := names.in_json(document)) != document:
            replaced[name] = json.dumps(written, sort_keys=True)
    if table.spans is not None and found[table.spans] is not None:
        elsewhere = replace(everywhere, employees=about_them.employees)
        body = bytes(found[table.spans])
        replaced[table.spans] = without_names(body, about_them, organisation, of_nobody=elsewhere, of_others=elsewhere)
    for name in (*table.texts, *table.lookups):
        text = found[name]
        if text is not None and (without := names.in_text(text)) != text:
            replaced[name] = None if name in table.lookups else without
    return replaced


def _levels(document: Any, organisation: str) -> Attribution:
    said = document if isinstance(document, dict) else {}
    levels = {level.value: said.get(level.value) for level in Level if level is not Level.REQUEST}
    return Attribution(**{name: value if isinstance(value, str) else None for name, value in levels.items()}).over(
        Attribution(organisation=organisation)
    )
