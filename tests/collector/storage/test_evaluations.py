"""Evaluations of answers: kept once, brought together with their calls whichever comes first, never told beyond a key's part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from p402.collector.pipeline.evaluate import EVALUATION, EvaluationIngest
from p402.collector.pipeline.records import EventRecord
from p402.collector.storage.evaluations import (
    Quality,
    SqlEvaluations,
    evaluations_between,
    quality_by_task_and_model,
)
from p402.collector.storage.keys import Keys
from p402.vocabulary import Attribution, new_id
from support.open_books import NOBODY, OpenBooks, open_books
from support.otlp import MAY_2026, ASpan

ACME = Attribution("acme")
MAY = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
SAID = {"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.value": 0.9}
REVIEW = {"p402.task_type": "review", "gen_ai.response.id": "msg_01ABCDEFGHIJKLMNOP"}


@dataclass(frozen=True)
class Desk:
    """Somebody who evaluates answers."""

    books: OpenBooks

    async def finds(
        self,
        span: ASpan,
        extra: Mapping[str, Any] | None = None,
        *,
        name_span: bool = True,
        at_ns: int = MAY_2026,
        bound_to: Attribution = NOBODY,
        key_id: str | None = None,
    ) -> None:
        """Send one evaluation of a call."""
        ingest = EvaluationIngest(
            SqlEvaluations(self.books.database), self.books.metrics, self.books.clock, default_organisation="acme"
        )
        said = {name: value for name, value in {**SAID, **(extra or {})}.items() if value is not None}
        span_id = span.span_id if name_span else b""
        event = EventRecord(EVALUATION, at_ns, span.trace_id, span_id, "quality-desk", said, {})
        await ingest.ingest([event], bound_to, key_id)

    async def quality(self, within: Attribution = ACME) -> list[Quality]:
        return await self.books.database.read(lambda connection: quality_by_task_and_model(connection, within, *MAY))

    async def all(self) -> int:
        return await self.books.database.read(lambda connection: evaluations_between(connection, ACME, *MAY))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_books(tmp_path) as books:
        yield Desk(books)


async def test_scores_are_summed_by_task_type_and_model(desk: Desk) -> None:
    reviews = [ASpan.of({"p402.task_type": "review"}) for _ in range(3)]
    other = ASpan.of({"gen_ai.response.model": "claude-haiku-4-5"})
    await desk.books.send(*reviews, other)
    for span, score in zip(reviews, (0.9, 0.8, 0.95), strict=True):
        await desk.finds(span, {"gen_ai.evaluation.score.value": score})
    await desk.finds(other, {"gen_ai.evaluation.score.value": 1})
    assert await desk.quality() == [
        Quality(None, "anthropic", "claude-haiku-4-5", "quality", 1, 1_000_000, 1_000_000, 1_000_000),
        Quality("review", "anthropic", "claude-opus-4-5", "quality", 3, 2_650_000, 800_000, 950_000),
    ]


async def test_the_same_event_once_more_changes_nothing(desk: Desk) -> None:
    span = ASpan()
    await desk.books.send(span)
    for _ in range(2):
        await desk.finds(span)
    await desk.finds(span, at_ns=MAY_2026 + 3_600_000_000_000)  # somebody looked again
    assert [quality.evaluations for quality in await desk.quality()] == [2]


async def test_an_evaluation_may_come_before_its_call(desk: Desk) -> None:
    span = ASpan()
    await desk.finds(span)
    assert (await desk.quality(), await desk.all()) == ([], 1)
    await desk.books.send(span)
    assert [quality.evaluations for quality in await desk.quality()] == [1]


async def test_the_id_of_the_answer_will_do_where_the_span_is_not_known(desk: Desk) -> None:
    early, late = ASpan.of(REVIEW), ASpan.of({"gen_ai.response.id": "msg_01ZYXWVUTSRQPONMLK"})
    await desk.books.send(early, ASpan.of({"gen_ai.response.id": "other"}, trace_id=early.trace_id))
    await desk.finds(early, {"gen_ai.response.id": REVIEW["gen_ai.response.id"]}, name_span=False)
    assert [(quality.task_type, quality.evaluations) for quality in await desk.quality()] == [("review", 1)]
    await desk.finds(late, {"gen_ai.response.id": "msg_01ZYXWVUTSRQPONMLK"}, name_span=False)
    await desk.books.send(late)
    assert len(await desk.quality()) == 1
    await desk.finds(early)  # whatever comes next finds it
    assert sorted(quality.evaluations for quality in await desk.quality()) == [1, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"gen_ai.evaluation.score.value": None},
        {"gen_ai.evaluation.score.value": "0.9"},
        {"gen_ai.evaluation.score.value": float("nan")},
        {"gen_ai.evaluation.score.value": 1e12},
        {"gen_ai.evaluation.score.value": True},
        {"gen_ai.evaluation.name": None},
    ],
)
async def test_what_says_nothing_is_counted_and_not_kept(desk: Desk, wrong: dict[str, Any]) -> None:
    span = ASpan()
    await desk.books.send(span)
    await desk.finds(span, wrong)
    assert await desk.all() == 0
    assert b"p402_evaluations_total 1.0" in desk.books.metrics.exposition()


async def test_a_key_tells_only_about_its_part_of_the_tree(desk: Desk) -> None:
    key, _ = await Keys(desk.books.database, new_id).create(
        "sales", frozenset({"ingest"}), Attribution("acme", "sales"), desk.books.clock.now()
    )
    of_legal, of_sales = ASpan(), ASpan.of({"p402.department": "sales"})
    await desk.books.send(of_legal, of_sales)
    for span in (of_legal, of_sales):
        await desk.finds(span, bound_to=Attribution("acme", "sales"), key_id=key.id)
    assert [quality.evaluations for quality in await desk.quality()] == [1]
    assert await desk.quality(Attribution("acme", "legal")) == []
    assert await desk.all() == 2


async def test_another_organisation_does_not_tell(desk: Desk) -> None:
    span = ASpan()
    await desk.books.send(span)
    await desk.finds(span, bound_to=Attribution("initech"))
    assert (await desk.quality(), await desk.quality(Attribution("initech"))) == ([], [])


async def test_only_the_period_counts(desk: Desk) -> None:
    span = ASpan()
    await desk.books.send(span)
    month = int(timedelta(days=31).total_seconds() * 1e9)
    await desk.finds(span, at_ns=MAY_2026 + month)
    assert (await desk.quality(), await desk.all()) == ([], 0)
