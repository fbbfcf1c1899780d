"""Evaluations of answers: kept once each, and summed by what the calls were for and by model.

An evaluation may come before its call. One that names the call's span is brought together with it when they are read. One
that names the answer's id is looked up when it comes, and again when others come, for a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from p402.collector.pipeline.evaluate import Evaluation
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.charges import within_scope
from p402.collector.storage.database import Database
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.evaluation_tables import evaluations
from p402.collector.storage.tables import api_keys, charges, models, scopes
from p402.vocabulary import Attribution, Level

__all__ = ["Quality", "SqlEvaluations", "evaluations_between", "quality_by_task_and_model"]

_INSERT = (
    "INSERT INTO evaluations (digest, organisation, key_id, trace_id, span_key, response_id, name, evaluator, score,"
    " evaluated_at, recorded_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_UNMATCHED = (
    "SELECT id, trace_id, response_id FROM evaluations WHERE span_key IS NULL AND recorded_at > ? ORDER BY recorded_at, id"
    " LIMIT ?"
)
_CALL = "SELECT span_key FROM charges WHERE span_key BETWEEN ? AND ? AND response_id = ? LIMIT 1"
_FIRST_SPAN, _LAST_SPAN = b"\0" * 8, b"\xff" * 8
_LOOKED_UP_FOR = timedelta(days=1)
_MOST_LOOKED_UP = 1_000  # in one change
_BOUND = (Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE)


@dataclass(frozen=True, slots=True)
class Quality:
    """What evaluators found about one model at one kind of work."""

    task_type: str | None
    """None: nobody said what the calls were for."""
    provider: str
    model: str
    name: str
    """What was looked at."""
    evaluations: int
    total: int
    """Of all scores, in millionths."""
    lowest: int
    highest: int


class SqlEvaluations:
    """Implements `pipeline.evaluate.EvaluationStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, evaluations: Sequence[Evaluation], at: datetime) -> int:
        """Keep those that are new."""
        rows = [_row(evaluation, at) for evaluation in evaluations]

        def change(connection: Connection) -> int:
            sql = driver(connection)
            new = sql.executemany(_INSERT, rows).rowcount
            _match(sql, at)
            return new

        return await self._database.write(change)


def quality_by_task_and_model(
    connection: Connection, within: Attribution, begin: datetime, end: datetime
) -> list[Quality]:
    """Sum the evaluations of a period (its end not included) by task type, model and name.

    Those count whose call is charged within the part of the tree, and is one that the evaluation's API key may tell about.
    """
    model = case((models.c.response_model != "", models.c.response_model), else_=models.c.request_model)
    groups = (charges.c.task_type, models.c.provider, model, evaluations.c.name)
    sums = [func.count(), func.sum(evaluations.c.score), func.min(evaluations.c.score), func.max(evaluations.c.score)]
    query = (
        select(*groups, *sums)
        .select_from(evaluations)
        .join(charges, charges.c.span_key == evaluations.c.span_key)
        .join(models, charges.c.model_id == models.c.id)
        .join(scopes, charges.c.scope_id == scopes.c.id)
        .outerjoin(api_keys, evaluations.c.key_id == api_keys.c.id)
        .where(*_made(within, begin, end), *within_scope(within), _may_tell())
        .group_by(*groups)
        .order_by(func.coalesce(charges.c.task_type, ""), *groups[1:])
    )
    return [Quality(*row[:4], *(int(number) for number in row[4:])) for row in connection.execute(query)]


def evaluations_between(connection: Connection, within: Attribution, begin: datetime, end: datetime) -> int:
    """Count all evaluations of an organisation in a period, whether their calls are known or not."""
    query = select(func.count()).select_from(evaluations).where(*_made(within, begin, end))
    return connection.execute(query).scalar_one()


def _match(sql: Driver, at: datetime) -> None:
    """Find the calls of evaluations that name the ids of answers."""
    since = to_millis(at - _LOOKED_UP_FOR)
    found = []
    for id_, trace_id, response_id in sql.execute(_UNMATCHED, (since, _MOST_LOOKED_UP)).fetchall():
        trace = bytes(trace_id)
        call = sql.execute(_CALL, (trace + _FIRST_SPAN, trace + _LAST_SPAN, response_id)).fetchone()
        if call is not None:
            found.append((bytes(call[0]), id_))
    sql.executemany("UPDATE evaluations SET span_key = ? WHERE id = ?", found)


def _row(evaluation: Evaluation, at: datetime) -> tuple[object, ...]:
    return (
        evaluation.digest,
        evaluation.organisation,
        evaluation.key_id,
        evaluation.trace_id,
        None if evaluation.span_id is None else evaluation.trace_id + evaluation.span_id,
        evaluation.response_id,
        evaluation.name,
        evaluation.evaluator,
        evaluation.score,
        to_millis(evaluation.evaluated_at),
        to_millis(at),
    )


def _made(within: Attribution, begin: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        evaluations.c.organisation == within.organisation,
        evaluations.c.evaluated_at >= to_millis(begin),
        evaluations.c.evaluated_at < to_millis(end),
    )


def _may_tell() -> ColumnElement[bool]:
    """Leave out what a key says about calls outside of the part of the tree that it is bound to."""
    bounds = (
        or_(api_keys.c[level.value].is_(None), api_keys.c[level.value] == scopes.c[level.value]) for level in _BOUND
    )
    return and_(*bounds)
