"""The ledger: charges and counters in one transaction, each call counted once.

This is the hot path, so it speaks to the driver (`storage.driver`). A batch of new charges goes in with one statement;
only when some row was there already, or a span may belong to a call that another span reports too, are rows taken one by
one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from p402.collector.pipeline.ports import Outcome, Recorded
from p402.collector.pipeline.records import Forwarded, OtherSpan, Recordable, Refused, SpanRecord, WithoutUsage
from p402.collector.privacy.pseudonyms import Names
from p402.collector.privacy.queued_spans import without_names
from p402.collector.storage.alerts import raise_thresholds
from p402.collector.storage.charge_rows import CHARGE_COLUMNS, USAGE_COLUMNS, row_of, to_millis
from p402.collector.storage.counters import add_to_counters
from p402.collector.storage.database import Database
from p402.collector.storage.decision_rows import record_refusals
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.forwards import keep_for_forwarding
from p402.collector.storage.interned import Interned
from p402.collector.storage.lineage import depths, has_links, knows_trace, remember
from p402.collector.storage.owners import Owners
from p402.collector.storage.postings import LateReport, Postings
from p402.collector.storage.same_call import Known, charge_of_same_call, charge_of_span, free_answer_key
from p402.vocabulary import MAX_ID_LENGTH, Attribution, UsageSource
from p402.vocabulary.attributes import GEN_AI_REQUEST_MODEL

__all__ = ["SqlLedger"]

_INSERT = (
    f"INSERT INTO charges ({', '.join(CHARGE_COLUMNS)}) VALUES ({', '.join('?' * len(CHARGE_COLUMNS))})"
    " ON CONFLICT DO NOTHING"
)
_INSERT_ONE = f"{_INSERT} RETURNING seq"
_USAGE_AT = slice(CHARGE_COLUMNS.index(USAGE_COLUMNS[0]), CHARGE_COLUMNS.index(USAGE_COLUMNS[-1]) + 1)
_CALL_KEY_AT = CHARGE_COLUMNS.index("call_key")
_MODEL_AT = CHARGE_COLUMNS.index("model_id")

Row = tuple[Any, ...]


class SqlLedger:
    """Implements `pipeline.ports.Ledger`."""

    def __init__(self, database: Database, postings: Postings, owners: Owners) -> None:
        self._database = database
        self._postings = postings
        self._owners = owners
        self._interned = Interned()
        owners.on_erasure(self._interned.forget)
        database.on_rollback(self._interned.forget)

    async def record(
        self,
        calls: Sequence[Recordable],
        without_usage: Sequence[WithoutUsage],
        at: datetime,
        others: Sequence[OtherSpan] = (),
        refused: Sequence[Refused] = (),
        forwarded: Forwarded | None = None,
    ) -> Recorded:
        """Record a batch, see `pipeline.ports.Ledger`."""

        def change(connection: Connection) -> Recorded:
            sql = driver(connection)
            owners = [*(call.charge.attribution for call in calls), *(call.attribution for call in refused)]
            if forwarded is not None:  # what is not recorded is sent on all the same
                around: list[OtherSpan | WithoutUsage] = [*others, *without_usage]
                owners += (span.attribution for span in around if span.attribution is not None)
            erased = self._owners.erased(sql, owners, at)
            known_as = self._owners.among(sql, owners, erased)
            if known_as:
                record_refusals(sql, [_refused(call, known_as) for call in refused], at)
                known = [_recordable(call, known_as) for call in calls]
            else:
                record_refusals(sql, refused, at)
                known = list(calls)
            if forwarded is not None:
                keep_for_forwarding(sql, _forwarded(forwarded, erased, owners), at)
            return Recorded(self._record(connection, known, without_usage, others, at), known)

        return await self._database.write(change)

    def _record(
        self,
        connection: Connection,
        calls: Sequence[Recordable],
        without_usage: Sequence[WithoutUsage],
        others: Sequence[OtherSpan],
        at: datetime,
    ) -> list[Outcome]:
        sql = driver(connection)
        around: list[OtherSpan | WithoutUsage] = [*others, *without_usage]
        if around:
            remember(sql, ((other.span, other.key_id, None) for other in around), at)
        self._postings.prepare(sql, calls, at)
        rows = [self._row(sql, call, at) for call in calls]
        outcomes = self._insert_together(sql, calls, rows)
        late: list[LateReport] = []
        if outcomes is None:
            found: dict[int, Outcome] = {}
            for number in _innermost_first(calls, [other.span for other in around]):
                call = calls[number]
                outcome, known = self._insert_one(sql, call, rows[number], at)
                found[number] = outcome
                if known is not None and known.key_id == call.key_id and call.lease_id is not None:
                    late.append(LateReport(call, known.seq, agrees=outcome is not Outcome.QUARANTINED))
            outcomes = [found[number] for number in range(len(calls))]
        charged = [call for call, outcome in zip(calls, outcomes, strict=True) if outcome is Outcome.CHARGED]
        raise_thresholds(connection, self._postings.post(sql, charged, at), at)
        self._postings.take_out_of_leases(sql, late, at)
        add_to_counters(sql, [call.charge for call in charged])
        for span in without_usage:
            model = span.span.attributes.get(GEN_AI_REQUEST_MODEL)
            detail = {"model": model[:MAX_ID_LENGTH] if isinstance(model, str) else None}
            _set_aside(sql, span.span.key, span.organisation, Outcome.NO_USAGE, None, detail, at)
            outcomes.append(Outcome.NO_USAGE)
        return outcomes

    def _row(self, driver: Driver, call: Recordable, at: datetime) -> Row:
        charge = call.charge
        return row_of(
            call,
            at,
            self._interned.scope(driver, charge.attribution),
            self._interned.model(driver, charge),
            self._interned.price_book(driver, charge.price) if charge.price else None,
        )

    @staticmethod
    def _insert_together(driver: Driver, calls: Sequence[Recordable], rows: list[Row]) -> list[Outcome] | None:
        """Insert all rows at once; None, and nothing inserted, when they must be looked at one by one."""
        if any(call.may_nest for call in calls):
            return None
        if has_links(driver) and any(knows_trace(driver, call.span, call.key_id) for call in calls):
            return None
        driver.execute("SAVEPOINT together")
        inserted = driver.executemany(_INSERT, rows).rowcount if rows else 0
        if inserted != len(rows):
            driver.execute("ROLLBACK TO together")
        driver.execute("RELEASE together")
        return [Outcome.CHARGED] * len(rows) if inserted == len(rows) else None

    @staticmethod
    def _insert_one(driver: Driver, call: Recordable, row: Row, at: datetime) -> tuple[Outcome, Known | None]:
        """Insert a charge unless its call was charged before; tells what it came to, and that charge."""
        if (known := charge_of_span(driver, call)) is not None:
            same = known.key_id == call.key_id and known.usage == row[_USAGE_AT] and known.model_id == row[_MODEL_AT]
            outcome = Outcome.REPEATED if same else Outcome.QUARANTINED
        elif (known := charge_of_same_call(driver, call)) is not None:
            outcome = Outcome.QUARANTINED if known.contradicts(call) else Outcome.DUPLICATE
        else:
            key = free_answer_key(driver, call)
            [(seq,)] = driver.execute(_INSERT_ONE, (*row[:_CALL_KEY_AT], key, *row[_CALL_KEY_AT + 1 :])).fetchall()
            if not call.ours:
                remember(driver, [(call.span, call.key_id, seq)], at)
            return Outcome.CHARGED, None
        if outcome is not Outcome.REPEATED:
            # Somebody else's span, or another claim: neither may replace or hide a charge.
            detail = {"model": call.charge.model, **dict(zip(USAGE_COLUMNS, row[_USAGE_AT], strict=True))}
            organisation = call.charge.attribution.organisation or ""
            _set_aside(driver, call.span.key, organisation, outcome, known.seq, detail, at)
            if known.key_id == call.key_id:
                remember(driver, [(call.span, call.key_id, known.seq)], at)
        if outcome is Outcome.DUPLICATE and known.call_key is None and (key := free_answer_key(driver, call)):
            # The charged span named no answer. Now it is known which one it was.
            driver.execute("UPDATE charges SET call_key = ? WHERE seq = ?", (key, known.seq))
        return outcome, known


def _recordable(call: Recordable, known_as: Mapping[Attribution, Attribution]) -> Recordable:
    whose = known_as.get(call.charge.attribution)
    return call if whose is None else replace(call, charge=replace(call.charge, attribution=whose))


def _refused(call: Refused, known_as: Mapping[Attribution, Attribution]) -> Refused:
    whose = known_as.get(call.attribution)
    return call if whose is None else replace(call, attribution=whose)


def _forwarded(
    forwarded: Forwarded, erased: Mapping[Attribution, Attribution], owners: Sequence[Attribution]
) -> Forwarded:
    body = forwarded.body
    for said, known_as in erased.items():
        employees = {said.employee: known_as.employee} if said.employee and known_as.employee else {}
        sessions = {said.session: known_as.session} if said.session and known_as.session else {}
        names = Names(employees, sessions)
        shared = any(other.session == said.session and other.employee not in {None, said.employee} for other in owners)
        of_others = Names(employees) if shared else names
        body = without_names(body, names, said.organisation or "", of_others=of_others)
    return replace(forwarded, body=body)


def _innermost_first(calls: Sequence[Recordable], around: Sequence[SpanRecord]) -> list[int]:
    """Order calls so that of several reports of one call the best is charged.

    A provider's count goes before an estimate, our own report (made at the HTTP request) before others, and what lies
    inside before what lies around.
    """
    depth = depths([*around, *(call.span for call in calls)])

    def rank(number: int) -> tuple[bool, bool, int]:
        call = calls[number]
        return call.charge.usage_source is UsageSource.ESTIMATED, not call.ours, -depth.get(call.span.key, 0)

    return sorted(range(len(calls)), key=rank)


def _set_aside(
    driver: Driver,
    span_key: bytes,
    organisation: str,
    reason: Outcome,
    charge_seq: int | None,
    detail: dict[str, Any],
    at: datetime,
) -> None:
    driver.execute(
        "INSERT INTO set_aside (span_key, organisation, reason, charge_seq, detail, recorded_at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (span_key, organisation, reason, charge_seq, json.dumps(detail, sort_keys=True), to_millis(at)),
    )
