"""Closed periods: totals that stand, and charges that come later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from p402.collector.storage.charge_rows import from_millis
from p402.collector.storage.periods import (
    ClosedPeriod,
    PeriodNotOver,
    Posting,
    close_period,
    closed_periods_of,
    period_bounds,
    period_of,
    posting_of,
    posting_to,
)
from p402.collector.storage.statements import posted_month
from p402.collector.storage.tables import charges
from p402.vocabulary import Money
from support.clock import FakeClock
from support.open_books import OpenBooks, open_books
from support.otlp import ASpan

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
WORKED = Money.parse("0.264235")


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path, FakeClock(JUNE)) as opened:
        yield opened


async def close(books: OpenBooks, period: str = "2026-05") -> ClosedPeriod:
    keys = books.signers.signer("acme")
    return await books.database.write(
        lambda connection: close_period(connection, "acme", period, keys, books.clock.now(), "key_1")
    )


async def posted(books: OpenBooks) -> dict[int, Posting]:
    """To which period each charge posts, as the function and the queries agree."""

    def read(connection: Connection) -> dict[int, Posting]:
        closed = closed_periods_of(connection, "acme")
        columns = select(charges.c.seq, charges.c.started_at, charges.c.recorded_at)
        found = {
            seq: posting_of(seq, from_millis(started), from_millis(recorded), closed)
            for seq, started, recorded in connection.execute(columns)
        }
        for period in {posting.period for posting in found.values()}:
            queried = connection.execute(select(charges.c.seq).where(posting_to(period, closed))).scalars()
            assert set(queried) == {seq for seq, posting in found.items() if posting.period == period}
        return found

    return await books.database.read(read)


async def test_the_totals_are_those_of_the_calls_that_began_in_the_period(books: OpenBooks) -> None:
    unpriced = ASpan.of({"gen_ai.request.model": "my-finetune", "gen_ai.response.model": "my-finetune"})
    await books.send(ASpan(), ASpan(), unpriced, ASpan.of({"p402.organisation": "initech"}))
    await books.send(ASpan(started_ns=int(JUNE.timestamp()) * 10**9))
    closed = await close(books)
    assert (closed.charges, closed.unpriced_charges, closed.cost) == (3, 1, WORKED + WORKED)
    assert closed.through_seq == 5
    [entry] = books.entries()
    said = {name: entry[name] for name in ("type", "period", "charges", "unpriced_charges", "cost_usd", "through_seq")}
    assert said == {
        "type": "period-close",
        "period": "2026-05",
        "charges": 3,
        "unpriced_charges": 1,
        "cost_usd": "0.52847",
        "through_seq": 5,
    }


async def test_closing_again_changes_nothing(books: OpenBooks) -> None:
    await books.send(ASpan())
    closed = await close(books)
    await books.send(ASpan())
    books.clock.advance(days=1)
    assert await close(books) == closed
    assert len(books.entries()) == 1


async def test_a_period_that_is_not_over_cannot_be_closed(books: OpenBooks) -> None:
    with pytest.raises(PeriodNotOver, match="from 2026-07-01T00:00:00"):
        await close(books, "2026-06")
    with pytest.raises(ValueError, match="such as 2026-10"):
        await close(books, "2026-13")
    assert books.entries() == []


async def test_an_empty_period_can_be_closed(books: OpenBooks) -> None:
    closed = await close(books, "2026-04")
    assert (closed.charges, closed.cost, closed.through_seq) == (0, Money(0), 0)


async def test_what_is_recorded_after_the_close_posts_to_the_month_of_recording(books: OpenBooks) -> None:
    in_june = int(JUNE.timestamp()) * 10**9
    await books.send(ASpan(), ASpan(started_ns=in_june))
    await close(books)
    await books.send(ASpan(), ASpan(started_ns=in_june))
    may, june, late = (
        Posting("2026-05", adjustment=False),
        Posting("2026-06", adjustment=False),
        Posting("2026-06", adjustment=True),
    )
    assert await posted(books) == {1: may, 2: june, 3: late, 4: june}
    books.clock.advance(days=30)
    await close(books, "2026-06")
    await books.send(ASpan(), ASpan(started_ns=in_june))
    later = Posting("2026-07", adjustment=True)
    assert await posted(books) == {1: may, 2: june, 3: late, 4: june, 5: later, 6: later}


async def test_the_closed_total_is_what_still_posts_to_the_period(books: OpenBooks) -> None:
    await books.send(ASpan(), ASpan())
    closed = await close(books)
    await books.send(ASpan())

    def total(connection: Connection) -> int:
        condition = posting_to("2026-05", closed_periods_of(connection, "acme"))
        return int(connection.execute(select(func.sum(charges.c.cost_nano_usd)).where(condition)).scalar_one())

    assert Money(await books.database.read(total)) == closed.cost


async def test_what_a_clock_that_is_behind_records_after_the_close_does_not_change_the_closed_month(
    books: OpenBooks,
) -> None:
    await close(books)
    books.clock.advance(seconds=-1)
    await books.send(ASpan())
    assert await posted(books) == {1: Posting("2026-06", adjustment=True)}

    def months(connection: Connection) -> list[list[tuple[str | None, int]]]:
        return [
            [(one.adjusts, one.charges) for one in posted_month(connection, "acme", month).usages]
            for month in ("2026-05", "2026-06")
        ]

    assert await books.database.read(months) == [[], [("2026-05", 1)]]


def test_a_period_is_a_month_in_utc() -> None:
    assert period_of(datetime.fromisoformat("2026-11-01T00:30:00+01:00")) == "2026-10"
    assert period_bounds("2026-12") == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
