"""Decisions as rows: those that the collector made, and the refusals that holders of leases report on their spans."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from p402.collector.pipeline.records import Refused
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import Driver
from p402.collector.storage.transaction import Rows, insert_later
from p402.decisions import Code, Decision, Question, Verdict
from p402.vocabulary import MAX_ID_LENGTH, Attribution, attributes

__all__ = [
    "Decided",
    "attribution_of",
    "decision_by_id",
    "decision_by_idempotency_key",
    "decisions_about",
    "decisions_between",
    "decisions_page",
    "record_decision",
    "record_refusals",
]

_COLUMNS = (
    "id, organisation, key_id, idempotency_key, decided_at, question, verdict, code, rationale, model, output_tokens,"
    " would, lease_id, span_key"
)
_ROWS = Rows("decisions", _COLUMNS, 3)
_INSERT = f"INSERT INTO decisions ({_COLUMNS}) VALUES ({', '.join('?' * 14)}) ON CONFLICT DO NOTHING"
_in_order = json.JSONEncoder(sort_keys=True).encode
_MOST_TEXT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision with what is known around it."""

    id: str
    organisation: str
    key_id: str
    decided_at: datetime
    question: Mapping[str, Any]
    """As `p402.decisions.Question.to_wire` wrote it."""
    decision: Decision
    lease_id: str | None


def record_decision(
    sql: Driver,
    *,
    id_: str,
    question: Question,
    decision: Decision,
    key_id: str,
    idempotency_key: str | None,
    lease_id: str | None,
    at: datetime,
) -> None:
    """Keep a decision that was made here."""
    asked = _in_order(question.to_wire())
    organisation = question.attribution.organisation or ""
    row = (
        decision.verdict.value,
        decision.code.value,
        decision.rationale,
        decision.model,
        decision.output_tokens,
        decision.would,
    )
    values = (id_, organisation, key_id, idempotency_key, to_millis(at), asked, *row, lease_id, None)
    insert_later(sql, _ROWS, [values])


def record_refusals(sql: Driver, refused: Sequence[Refused], at: datetime) -> None:
    """Keep the refusals of holders of leases, each once, however often its span comes."""
    for refusal in refused:
        found = refusal.span.attributes
        code = _text(found, attributes.P402_DECISION_CODE)
        model = _text(found, attributes.GEN_AI_REQUEST_MODEL)[:MAX_ID_LENGTH]
        question = {
            **{level.value: value for level, value in refusal.attribution if value is not None},
            "provider": _text(found, attributes.GEN_AI_PROVIDER_NAME)[:MAX_ID_LENGTH],
            "model": model,
        }
        values = (
            f"dec_{refusal.span.key.hex()}",
            refusal.attribution.organisation or "",
            refusal.key_id or "",
            None,
            to_millis(at),
            _in_order(question),
            Verdict.BLOCK.value,
            code if code in set(Code) else Code.RULE.value,
            _text(found, attributes.P402_DECISION_RATIONALE),
            model,
            None,
            None,
            None,
            refusal.span.key,
        )
        sql.execute(_INSERT, values)


def decision_by_id(sql: Driver, decision_id: str, key_id: str) -> Decided | None:
    """Find a decision of a key."""
    row = sql.execute(f"SELECT {_COLUMNS} FROM decisions WHERE id = ? AND key_id = ?", (decision_id, key_id)).fetchone()
    return None if row is None else _decided(row)


def decision_by_idempotency_key(sql: Driver, key_id: str, idempotency_key: str) -> Decided | None:
    """Find what was decided when the same was asked before."""
    row = sql.execute(
        f"SELECT {_COLUMNS} FROM decisions WHERE key_id = ? AND idempotency_key = ?", (key_id, idempotency_key)
    ).fetchone()
    return None if row is None else _decided(row)


def decisions_page(
    sql: Driver, organisation: str, verdict: str | None, before: tuple[int, str], limit: int
) -> list[Decided]:
    """Give the decisions of an organisation before one of them (its time in milliseconds, and its id), the newest first."""
    which = "" if verdict is None else " AND verdict = ?"
    moment, id_ = before
    parameters = (organisation, moment, moment, id_, *(() if verdict is None else (verdict,)), limit)
    rows = sql.execute(
        f"SELECT {_COLUMNS} FROM decisions WHERE organisation = ? AND decided_at <= ? AND (decided_at < ? OR id < ?)"
        f"{which} ORDER BY decided_at DESC, id DESC LIMIT ?",
        parameters,
    ).fetchall()
    return [_decided(row) for row in rows]


def decisions_between(sql: Driver, organisation: str, begin: datetime, end: datetime, limit: int) -> list[Decided]:
    """Give the decisions of an organisation in a period, the earliest first."""
    rows = sql.execute(
        f"SELECT {_COLUMNS} FROM decisions WHERE organisation = ? AND decided_at >= ? AND decided_at < ?"
        " ORDER BY decided_at, id LIMIT ?",
        (organisation, to_millis(begin), to_millis(end), limit),
    ).fetchall()
    return [_decided(row) for row in rows]


def decisions_about(
    sql: Driver, organisation: str, session: str, begin: datetime, end: datetime, limit: int
) -> list[Decided]:
    """Give the decisions about calls of a session id in a period, whoever's, the earliest first."""
    named = _in_order({"session": session})[1:-1]
    for character in "!%_":
        named = named.replace(character, f"!{character}")
    rows = sql.execute(
        f"SELECT {_COLUMNS} FROM decisions WHERE organisation = ? AND decided_at >= ? AND decided_at < ?"
        " AND question LIKE ? ESCAPE '!' ORDER BY decided_at, id LIMIT ?",
        (organisation, to_millis(begin), to_millis(end), f"%{named}%", limit),
    ).fetchall()
    return [_decided(row) for row in rows]


def attribution_of(decided: Decided) -> Attribution:
    """Give who a decision was for."""
    return Question.from_wire(decided.question).attribution


def _decided(row: Sequence[Any]) -> Decided:
    id_, organisation, key_id, _, decided_at, question, verdict, code, rationale, model, output, would, lease_id, _ = (
        row
    )
    decision = Decision(
        verdict=Verdict(verdict),
        code=Code(code),
        rationale=rationale,
        model=model,
        output_tokens=output,
        holds={},
        would=would,
    )
    return Decided(
        id=id_,
        organisation=organisation,
        key_id=key_id,
        decided_at=from_millis(decided_at),
        question=json.loads(question),
        decision=decision,
        lease_id=lease_id,
    )


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value[:_MOST_TEXT] if isinstance(value, str) else ""
