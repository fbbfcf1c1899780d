"""Each call is charged once, whoever reports it, and in whatever order."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from p402.vocabulary import Attribution
from support.open_books import OpenBooks, open_books
from support.otlp import ASpan

OURS, THEIRS = b"\x0a" * 8, b"\x0b" * 8
TRACE = b"\x01" * 16
COSTS = "SELECT coalesce(sum(cost_nano_usd), 0) FROM charges"
ANSWERED = {"gen_ai.response.id": "msg_1"}


async def test_the_worked_example_is_in_the_books_to_the_nano_dollar(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        assert await books.send(ASpan()) == {"charged": 1}
        assert books.value(COSTS) == 264_235_000
        found = dict(books.rows("SELECT level, node FROM spend_hourly"))
        assert found == {
            "organisation": "acme",
            "department": "legal",
            "project": "contracts",
            "client": "globex",
            "employee": "e-1042",
            "session": "review-7",
        }
        sums = "cost_nano_usd, charges, unpriced_charges, input_tokens, output_tokens, hour"
        hour = 1_778_835_600 // 3600
        assert set(books.rows(f"SELECT {sums} FROM spend_hourly")) == {(264_235_000, 1, 0, 2847, 10_000, hour)}


async def test_an_unpriced_call_is_counted_and_costs_nothing_that_could_be_taken_for_a_price(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        await books.send(ASpan.of({"gen_ai.response.model": "opus-of-tomorrow"}), ASpan())
        query = "SELECT cost_nano_usd, price_book_id, unpriced_reason FROM charges WHERE cost_nano_usd IS NULL"
        [(cost, book, reason)] = books.rows(query)
        assert (cost, book) == (None, None)
        assert "opus-of-tomorrow" in reason
        sums = "SELECT cost_nano_usd, charges, unpriced_charges FROM spend_hourly WHERE level = 'organisation'"
        assert books.rows(sums) == [(264_235_000, 2, 1)]


async def test_sending_a_batch_again_changes_nothing(tmp_path: Path) -> None:
    totals = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    batch = (
        ASpan(),
        ASpan.of(ANSWERED, trace_id=TRACE, span_id=OURS),
        ASpan.of(ANSWERED, trace_id=TRACE, span_id=THEIRS, scope="vendor.sdk"),
        ASpan.of({**ANSWERED, "gen_ai.usage.output_tokens": 1}, trace_id=TRACE, scope="vendor.sdk"),
        ASpan.of(totals),
    )
    async with open_books(tmp_path) as books:
        assert await books.send(*batch) == {"charged": 2, "duplicate": 1, "quarantined": 1, "no_usage": 1}
        before = books.content()
        for _ in range(2):
            assert (await books.send(*batch))["charged"] == 0
            assert books.content() == before


async def test_a_batch_that_is_partly_known_adds_only_what_is_new(tmp_path: Path) -> None:
    spans = [ASpan() for _ in range(5)]
    async with open_books(tmp_path) as books:
        assert await books.send(*spans[:3]) == {"charged": 3}
        assert await books.send(*spans) == {"repeated": 3, "charged": 2}
        assert books.value(COSTS) == 5 * 264_235_000


async def test_a_span_twice_in_one_batch_is_charged_once(tmp_path: Path) -> None:
    span = ASpan()
    async with open_books(tmp_path) as books:
        assert await books.send(span, span, span) == {"charged": 1, "repeated": 2}


def two_spans(*, answered: bool, nested: str) -> dict[str, ASpan]:
    """Ours and a foreign one about the same call; ``nested`` says which one is the outer."""
    extra: dict[str, Any] = dict(ANSWERED) if answered else {}
    outer = {"p402.outer_span.scope": "vendor.sdk"} if nested == "theirs" else {}
    return {
        "ours": ASpan.of(
            {**extra, **outer}, trace_id=TRACE, span_id=OURS, parent_span_id=THEIRS if nested == "theirs" else b""
        ),
        "theirs": ASpan.of(
            extra, trace_id=TRACE, span_id=THEIRS, parent_span_id=OURS if nested == "ours" else b"", scope="vendor.sdk"
        ),
    }


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("answered", "nested", "order"),
    [
        *itertools.product([True], ["neither", "ours", "theirs"], itertools.permutations(["ours", "theirs"])),
        *itertools.product([False], ["theirs"], itertools.permutations(["ours", "theirs"])),
        (False, "ours", ("ours", "theirs")),
    ],
)
async def test_a_call_reported_by_two_spans_is_charged_once(
    tmp_path: Path, *, order: tuple[str, str], answered: bool, nested: str, together: bool
) -> None:
    spans = two_spans(answered=answered, nested=nested)
    first, second = (spans[name] for name in order)
    async with open_books(tmp_path) as books:
        for batch in [(first, second)] if together else [(first,), (second,)]:
            await books.send(*batch)
        assert books.value(COSTS) == 264_235_000
        apart = spans["theirs"] if together else second
        assert books.rows("SELECT span_key, reason, charge_seq FROM set_aside") == [
            (TRACE + apart.span_id, "duplicate", 1)
        ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_three_nested_spans_of_one_call_are_charged_once(tmp_path: Path, order: tuple[int, ...]) -> None:
    ids = [b"\x0a" * 8, b"\x0b" * 8, b"\x0c" * 8]
    spans = [
        ASpan.of(trace_id=TRACE, span_id=ids[0], scope="framework"),
        ASpan.of(trace_id=TRACE, span_id=ids[1], parent_span_id=ids[0], scope="vendor.sdk"),
        ASpan.of({"p402.outer_span.scope": "vendor.sdk"}, trace_id=TRACE, span_id=ids[2], parent_span_id=ids[1]),
    ]
    async with open_books(tmp_path) as books:
        for number in order:
            await books.send(spans[number])
        assert books.value(COSTS) == 264_235_000


async def test_two_calls_side_by_side_under_one_parent_are_two(tmp_path: Path) -> None:
    side: dict[str, Any] = {"trace_id": TRACE, "parent_span_id": b"\x0c" * 8, "scope": "vendor.sdk"}
    async with open_books(tmp_path) as books:
        assert await books.send(ASpan.of(**side), ASpan.of(**side)) == {"charged": 2}


@pytest.mark.parametrize("with_id", ["span", "response"])
async def test_another_usage_for_a_charged_call_is_quarantined(tmp_path: Path, with_id: str) -> None:
    ids: dict[str, Any] = {"trace_id": TRACE, "span_id": OURS} if with_id == "span" else {"trace_id": TRACE}
    async with open_books(tmp_path) as books:
        await books.send(ASpan.of({**ANSWERED, "gen_ai.usage.output_tokens": 1}, **ids))
        assert await books.send(ASpan.of(ANSWERED, **ids)) == {"quarantined": 1}
        [(reason, organisation, detail)] = books.rows("SELECT reason, organisation, detail FROM set_aside")
        assert (reason, organisation) == ("quarantined", "acme")
        assert '"output_tokens": 10000' in detail
        assert "claude-opus-4-5" in detail


@pytest.mark.parametrize(
    "others", [{"key_id": "key_2"}, {"bound_to": Attribution("initech")}], ids=["another key", "another organisation"]
)
async def test_an_answer_is_charged_to_each_who_reports_it(tmp_path: Path, others: dict[str, Any]) -> None:
    async with open_books(tmp_path) as books:
        await books.send(ASpan.of(ANSWERED, trace_id=TRACE), key_id="key_1")
        assert await books.send(ASpan.of(ANSWERED, trace_id=TRACE), **{"key_id": "key_1", **others}) == {"charged": 1}


async def test_nobody_elses_span_can_stand_in_silently_for_a_real_one(tmp_path: Path) -> None:
    """Trace and span ids travel along with requests, so others may know them before the real span arrives."""
    span = ASpan()
    async with open_books(tmp_path) as books:
        await books.send(span, key_id="key_of_a_thief", bound_to=Attribution("initech"))
        assert await books.send(span, key_id="key_1") == {"quarantined": 1}
        assert books.rows("SELECT organisation, reason FROM set_aside") == [("acme", "quarantined")]


async def test_a_span_nested_in_a_charged_one_of_another_key_is_charged(tmp_path: Path) -> None:
    spans = two_spans(answered=False, nested="theirs")
    async with open_books(tmp_path) as books:
        await books.send(spans["ours"], key_id="key_1")
        assert await books.send(spans["theirs"], key_id="key_2") == {"charged": 1}


async def test_two_long_response_ids_with_a_common_beginning_are_two_answers(tmp_path: Path) -> None:
    answers = [ASpan.of({"gen_ai.response.id": "r" * 300 + end}, trace_id=TRACE) for end in "ab"]
    async with open_books(tmp_path) as books:
        assert await books.send(*answers) == {"charged": 2}


async def test_a_failed_commit_keeps_nothing_and_the_retry_everything(tmp_path: Path) -> None:
    spans = [ASpan() for _ in range(3)]
    async with open_books(tmp_path) as books:
        await books.send(ASpan())
        before = books.content()
        with books.kept.refusing_rows_of("spend_hourly", "disk full"):
            with pytest.raises(Exception, match="disk full"):
                await books.send(*spans)
            assert books.content() == before
        assert await books.send(*spans) == {"charged": 3}


async def test_many_senders_at_once_charge_every_call_once(tmp_path: Path) -> None:
    spans = [ASpan() for _ in range(60)]
    batches = [spans[start : start + 10] for start in range(0, 55, 5)] * 3

    async def from_another_thread(books: OpenBooks, batches: list[list[ASpan]]) -> int:
        async def send() -> int:
            return sum([(await books.send(*batch))["charged"] for batch in batches])

        return await asyncio.to_thread(lambda: asyncio.run(send()))

    async with open_books(tmp_path) as books:
        charged = await asyncio.gather(*(from_another_thread(books, batches[start::8]) for start in range(8)))
        assert sum(charged) == 60
        assert books.value("SELECT count(*) FROM charges") == 60
        assert books.value("SELECT cost_nano_usd FROM spend_hourly WHERE level = 'session'") == 60 * 264_235_000
