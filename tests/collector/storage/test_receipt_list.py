"""Receipts for people: the newest first, page by page, with their sum, whichever way they are looked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from p402.collector.storage import narrowing
from p402.collector.storage.calls import Place
from p402.collector.storage.receipt_ledger import ledger_digest
from p402.collector.storage.receipt_list import newest_receipts, receipt_totals
from p402.collector.storage.receipts import ReceiptFilter
from p402.vocabulary import Attribution, Money
from support.open_books import OpenBooks, open_books
from support.otlp import ASpan

ANYBODY = Attribution()


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    """Nine receipts, sealed in three goes; the first of each is of sales."""
    async with open_books(tmp_path) as opened:
        for go in range(3):
            for number in range(3):
                department = "sales" if number == 0 else "legal"
                await opened.send(ASpan.of({"p402.session": f"s-{go}-{number}", "p402.department": department}))
            opened.clock.advance(hours=1)
            await opened.sealer.catch_up()
        yield opened


async def seqs(books: OpenBooks, asked: ReceiptFilter, limit: int = 100, bound_to: Attribution = ANYBODY) -> list[int]:
    found: list[int] = []
    before: Place | None = None
    while True:
        query = partial(
            newest_receipts, organisation="acme", bound_to=bound_to, before=before, limit=limit, asked=asked
        )
        page = await books.database.read(query)
        found += [receipt.seq for _, receipt in page]
        if len(page) < limit:
            return found
        before = page[-1][0]


@pytest.mark.parametrize("most", [0, 20_000], ids=["by time", "by owners"])
async def test_receipts_come_newest_first_and_none_is_missed(
    books: OpenBooks, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(narrowing, "MOST_ROWS", most)
    whole = await seqs(books, ReceiptFilter())
    assert whole == list(range(8, -1, -1))
    assert await seqs(books, ReceiptFilter(), limit=2) == whole
    sales = await seqs(books, ReceiptFilter(of=Attribution(department="sales")))
    assert len(sales) == 3
    assert await seqs(books, ReceiptFilter(), bound_to=Attribution("acme", "sales")) == sales
    assert await seqs(books, ReceiptFilter(), bound_to=Attribution("umbrella")) == []
    assert await seqs(books, ReceiptFilter(anchored=False), limit=2) == whole
    assert await seqs(books, ReceiptFilter(anchored=True)) == []
    assert await seqs(books, ReceiptFilter(begin=books.clock.now())) == whole[:3]
    assert await seqs(books, ReceiptFilter(end=books.clock.now())) == whole[3:]


async def test_their_sum_is_that_of_those_that_are_asked_for(books: OpenBooks) -> None:
    sales = ReceiptFilter(of=Attribution(department="sales"))
    totals = await books.database.read(partial(receipt_totals, organisation="acme", bound_to=ANYBODY, asked=sales))
    assert totals is not None
    assert (totals.count, totals.anchored, totals.cost) == (3, 0, Money(3 * 264_235_000))
    assert totals.is_all


async def test_a_call_that_is_changed_after_it_was_sealed_hashes_to_something_else(books: OpenBooks) -> None:
    receipts = {entry["receipt_id"]: entry["charges"]["sha256"] for entry in books.entries()}

    async def digests() -> dict[str, str | None]:
        return {one: await books.database.read(partial(ledger_digest, receipt_id=one)) for one in receipts}

    assert await digests() == receipts
    first, *others = receipts
    books.kept.run(
        f"UPDATE charges SET cost_nano_usd = 1 WHERE scope_id = (SELECT scope_id FROM receipts WHERE id = '{first}')"
    )
    now = await digests()
    assert now[first] != receipts[first]
    assert {one: now[one] for one in others} == {one: receipts[one] for one in others}
