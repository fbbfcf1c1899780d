"""Evaluations of answers: kept once each, and summed by what the calls were for and by model.

An evaluation may come before its call, so the two are brought together when they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from p402.collector.pipeline.evaluate import Evaluation
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.charges import within_scope
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.evaluation_tables import evaluations
from p402.collector.storage.tables import api_keys, charges, models, scopes
from p402.vocabulary import Attribution, Level

__all__ = ["Quality", "SqlEvaluations", "evaluations_between", "quality_by_task_and_model"]

_INSERT = (
    "INSERT INTO evaluations (digest, organisation, key_id, span_from, span_to, response_id, name, evaluator, score,"
    " evaluated_at, recorded_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_FIRST_SPAN, _LAST_SPAN = b"\0" * 8, b"\xff" * 8
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
        return await self._database.write(lambda connection: driver(connection).executemany(_INSERT, rows).rowcount)


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
        .join(charges, _about())
        .join(models, charges.c.model_id == models.c.id)
        .join(scopes, charges.c.scope_id == scopes.c.id)
        .outerjoin(api_keys, evaluations.c.key_id == api_keys.c.id)
        .where(*_made(within, begin, end), *within_scope(within), _may_tell())
        .group_by(*groups)
        .order_by(*groups)
    )
    return [Quality(*row[:4], *(int(number) for number in row[4:])) for row in connection.execute(query)]


def evaluations_between(connection: Connection, within: Attribution, begin: datetime, end: datetime) -> int:
    """Count all evaluations of an organisation in a period, whether their calls are known or not."""
    query = select(func.count()).select_from(evaluations).where(*_made(within, begin, end))
    return connection.execute(query).scalar_one()


def _row(evaluation: Evaluation, at: datetime) -> tuple[object, ...]:
    of_trace, span = evaluation.trace_id, evaluation.span_id
    return (
        evaluation.digest,
        evaluation.organisation,
        evaluation.key_id,
        of_trace + (span or _FIRST_SPAN),
        of_trace + (span or _LAST_SPAN),
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


def _about() -> ColumnElement[bool]:
    """Find the call of an evaluation."""
    among = charges.c.span_key.between(evaluations.c.span_from, evaluations.c.span_to)
    return and_(among, or_(evaluations.c.response_id.is_(None), charges.c.response_id == evaluations.c.response_id))


def _may_tell() -> ColumnElement[bool]:
    """Leave out what a key says about calls outside of the part of the tree that it is bound to."""
    bounds = (
        or_(api_keys.c[level.value].is_(None), api_keys.c[level.value] == scopes.c[level.value]) for level in _BOUND
    )
    return and_(*bounds)
