"""What was decided about calls, by day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from p402.collector.storage.driver import driver
from p402.collector.storage.usage import SqlUsage, day_of
from p402.collector.storage.verdict_counts import verdicts_by_day
from p402.collector.usage.slices import Dimension, Period, Slice
from support.open_books import OpenBooks, open_books
from support.otlp import MAY_2026, ASpan

MAY = Slice("acme", Period(date(2026, 5, 1), date(2026, 5, 31)))
TODAY = day_of(date(2026, 5, 15))
DAY_NS = 86_400_000_000_000
_DECIDED = (
    "INSERT INTO decisions (id, organisation, key_id, decided_at, question, verdict, code, rationale, model)"
    " VALUES (?, ?, '', ?, ?, ?, 'budget_exhausted', '', 'claude-opus-4-5')"
)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path) as opened:
        await opened.send(
            ASpan.of({"p402.decision.verdict": "allow"}),
            ASpan.of({"p402.decision.verdict": "downgrade", "p402.department": "sales"}),
            ASpan.of(),
            ASpan.of({"p402.organisation": "initech"}),
            ASpan.of({"p402.decision.verdict": "clamp"}, started_ns=MAY_2026 - DAY_NS),
        )
        at = MAY_2026 // 1_000_000
        rows = [
            ("d1", "acme", at, '{"department": "legal", "model": "claude-opus-4-5"}', "block"),
            ("d2", "acme", at, '{"department": "le\\"gal"}', "block"),
            ("d3", "acme", at, '{"model": "claude-opus-4-5"}', "wait"),
            ("d4", "acme", at, '{"department": "legal"}', "allow"),  # its call is counted, once it was made
            ("d5", "initech", at, '{"department": "legal"}', "block"),
            ("d6", "acme", at - 40 * 86_400_000, '{"department": "legal"}', "block"),
        ]
        await opened.database.write(lambda connection: driver(connection).executemany(_DECIDED, rows).rowcount)
        await SqlUsage(opened.database).follow(10)
        yield opened


async def counted(books: OpenBooks, of: Slice) -> dict[int, dict[str, int]]:
    return await books.database.read(lambda connection: verdicts_by_day(connection, of))


async def test_calls_that_went_ahead_are_counted_from_the_ledger_and_others_from_the_decisions(
    books: OpenBooks,
) -> None:
    assert await counted(books, MAY) == {
        TODAY: {"": 1, "allow": 1, "downgrade": 1, "block": 2, "wait": 1},
        TODAY - 1: {"clamp": 1},
    }


async def test_a_part_of_the_tree_has_its_own_counts(books: OpenBooks) -> None:
    legal = MAY.narrowed(Dimension.DEPARTMENT, "legal")
    assert await counted(books, legal) == {TODAY: {"": 1, "allow": 1, "block": 1}, TODAY - 1: {"clamp": 1}}
    assert (await counted(books, MAY.narrowed(Dimension.DEPARTMENT, 'le"gal')))[TODAY] == {"block": 1}
    assert (await counted(books, MAY.narrowed(Dimension.DEPARTMENT, "")))[TODAY] == {"wait": 1}
