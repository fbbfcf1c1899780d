"""One call, one charge: whoever reports it, whichever span arrives first, and in whatever batches.

The spans are those that were seen when five instrumentations watched one call: wrappers, SDK instrumentations in a chain
or side by side, ours at the HTTP request, and the HTTP span inside it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p402.vocabulary import Attribution
from support.clock import FakeClock
from support.open_books import OpenBooks, open_books
from support.otlp import ATTRIBUTION, MAY_2026, OWN_SCOPE, ASpan

TRACE = b"\x01" * 16
ANSWER = "msg_01XFDUDYJgAACzvnptvVoYEL"
COST = 264_235_000  # of the worked example
TOTALS = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
AGENT = {"gen_ai.operation.name": "invoke_agent"}
HTTP: dict[str, Any] = {"attributes": {"http.request.method": "POST", **ATTRIBUTION}}
MILLISECOND = 1_000_000


def span_id(number: int) -> bytes:
    return bytes([number]) * 8


def at(number: int, parent: int | None, scope: str, extra: dict[str, Any] | None = None, **fields: Any) -> ASpan:
    """A span of the trace; an inner one (with a higher number) begins later and ends earlier."""
    times = {"started_ns": MAY_2026 + number * MILLISECOND, "seconds": 5 - number / 100}
    place: dict[str, Any] = {"trace_id": TRACE, "span_id": span_id(number), "scope": scope, **times, **fields}
    place["parent_span_id"] = b"" if parent is None else span_id(parent)
    return ASpan(**place) if "attributes" in fields else ASpan.of(extra, **place)


def chain(*, answered: bool) -> list[ASpan]:
    """An agent, an instrumentation of the SDK, a wrapper, two more of them side by side, one without usage, ours, HTTP."""
    answer = {"gen_ai.response.id": ANSWER} if answered else {}
    return [
        at(1, None, "framework", {**AGENT, **answer}),
        at(2, 1, "opentelemetry.instrumentation.genai.anthropic", answer),
        at(3, 2, "framework", {"openinference.span.kind": "CHAIN"}),
        at(4, 3, "openinference.instrumentation.anthropic", answer),
        at(5, 4, "opentelemetry.instrumentation.anthropic", answer),
        at(6, 4, "com.anthropic.sdk.python", {**answer, **TOTALS}),
        at(7, 6, OWN_SCOPE, {**answer, "p402.outer_span.scope": "com.anthropic.sdk.python"}),
        at(8, 7, "opentelemetry.instrumentation.httpx", **HTTP),
    ]


OURS = span_id(7)


@st.composite
def deliveries(draw: st.DrawFn, spans: list[ASpan]) -> list[list[ASpan]]:
    """Every span at least once, in any order, cut into any batches."""
    order = draw(st.permutations([*spans, *draw(st.lists(st.sampled_from(spans), max_size=4))]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=7)))
    return [order[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


def charged(books: OpenBooks) -> list[bytes]:
    return [key[16:] for (key,) in books.rows("SELECT span_key FROM charges ORDER BY seq")]


def reasons(books: OpenBooks) -> list[str]:
    return sorted(reason for (reason,) in books.rows("SELECT reason FROM set_aside"))


@settings(deadline=None, max_examples=150)
@given(st.booleans().flatmap(lambda answered: deliveries(chain(answered=answered))))
async def test_any_delivery_of_a_chain_charges_it_once(batches: list[list[ASpan]]) -> None:
    with TemporaryDirectory() as folder:
        async with open_books(Path(folder)) as books:
            for batch in batches:
                await books.send(*batch)
            assert books.value("SELECT sum(cost_nano_usd) FROM charges") == COST
            assert books.value("SELECT cost_nano_usd FROM spend_hourly WHERE level = 'organisation'") == COST
            assert reasons(books) == ["duplicate"] * 3 + ["no_usage"]
            first = next(batch for batch in batches if any("gen_ai.usage.input_tokens" in s.attributes for s in batch))
            if any(span.span_id == OURS for span in first):
                assert charged(books) == [OURS]


@settings(deadline=None, max_examples=80)
@given(st.sampled_from([1, 3, 4]).flatmap(lambda liar: st.tuples(st.just(liar), deliveries(with_a_lie(liar)))))
async def test_another_usage_anywhere_in_the_chain_is_charged_or_quarantined(
    drawn: tuple[int, list[list[ASpan]]],
) -> None:
    liar, batches = drawn
    lied = chain(answered=True)[liar].span_id
    with TemporaryDirectory() as folder:
        async with open_books(Path(folder)) as books:
            for batch in batches:
                await books.send(*batch)
            [first] = charged(books)
            quarantined = [
                key[16:] for (key,) in books.rows("SELECT span_key FROM set_aside WHERE reason = 'quarantined'")
            ]
            if first == lied:
                assert len(quarantined) == 3, "all who say otherwise"
            else:
                assert quarantined == [lied]


def with_a_lie(liar: int) -> list[ASpan]:
    """A chain in which one instrumentation counts another output."""
    spans = chain(answered=True)
    spans[liar] = replace(spans[liar], attributes={**spans[liar].attributes, "gen_ai.usage.output_tokens": 10_001})
    return spans


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ("standard", None, "duplicate"),
        (None, "standard", "duplicate"),
        ("standard", "standard", "duplicate"),
        (None, "batch", "quarantined"),  # cheaper than what is charged: somebody shall look at it
        ("batch", "standard", "quarantined"),
        ("batch", None, "quarantined"),  # says nothing of it, and would cost more
    ],
)
async def test_another_service_tier_of_a_call_is_never_passed_over(
    tmp_path: Path, first: str | None, second: str | None, outcome: str
) -> None:
    tiers = [{"p402.service_tier": tier} if tier else {} for tier in (first, second)]
    outer = at(1, None, "vendor.sdk", {"gen_ai.response.id": ANSWER, **tiers[1]})
    async with open_books(tmp_path) as books:
        await books.send(at(2, 1, OWN_SCOPE, {"gen_ai.response.id": ANSWER, **tiers[0]}))
        await books.send(outer)
        assert reasons(books) == [outcome]
        assert books.value("SELECT service_tier FROM charges") == first


@settings(deadline=None, max_examples=60)
@given(st.data())
async def test_attempts_inside_one_span_are_each_charged(data: st.DataObject) -> None:
    """A client that tries again: two answers, each with usage, in a span that reports the last one or names none."""
    outer = data.draw(st.sampled_from([{}, {"gen_ai.response.id": ANSWER}]))
    first = {"gen_ai.response.id": "msg_the_attempt_that_was_cut", "gen_ai.usage.output_tokens": 40}
    spans = [
        at(1, None, "vendor.sdk", outer),
        at(2, 1, OWN_SCOPE, {**first, "p402.outer_span.scope": "vendor.sdk"}),
        at(3, 1, OWN_SCOPE, {"gen_ai.response.id": ANSWER, "p402.outer_span.scope": "vendor.sdk"}),
    ]
    last_two = [spans[0], spans[2]]
    batches = data.draw(deliveries(last_two if not outer else spans))
    with TemporaryDirectory() as folder:
        async with open_books(Path(folder)) as books:
            for batch in batches:
                await books.send(*batch)
            expected = COST + (2847 * 5_000 + 40 * 25_000 if outer else 0)
            assert books.value("SELECT sum(cost_nano_usd) FROM charges") == expected


@pytest.mark.parametrize("between", [True, False], ids=["a wrapper between", "nothing known between"])
async def test_ours_is_joined_though_it_sees_no_instrumentation_around_it(tmp_path: Path, *, between: bool) -> None:
    spans = [at(1, None, "vendor.sdk"), *([at(2, 1, "framework", AGENT)] if between else []), at(3, 2, OWN_SCOPE)]
    async with open_books(tmp_path) as books:
        for span in spans:
            await books.send(span)
        assert charged(books) == [span_id(1)]
        assert reasons(books) == ["duplicate"]


async def test_a_gateway_that_renames_the_answer_adds_no_second_charge(tmp_path: Path) -> None:
    outside = at(1, None, OWN_SCOPE, {"gen_ai.response.id": "chatcmpl-of-the-gateway"})
    inside = at(2, 1, "gateway", {"gen_ai.response.id": ANSWER})
    async with open_books(tmp_path) as books:
        assert await books.send(outside) == {"charged": 1}
        assert await books.send(inside) == {"duplicate": 1}


@pytest.mark.parametrize("seconds_later", [0, 60])
async def test_a_span_in_a_trace_of_its_own_is_told_by_the_answer_while_it_runs(
    tmp_path: Path, seconds_later: int
) -> None:
    """OpenInference detaches its span of a streamed call; but some servers begin to count ids again when they restart."""
    answer = {"gen_ai.response.id": "chatcmpl-000000000001"}
    detached = ASpan.of(answer, scope="vendor.sdk", started_ns=MAY_2026 + seconds_later * 10**9)
    async with open_books(tmp_path) as books:
        await books.send(ASpan.of(answer))
        expected = {"charged": 1} if seconds_later else {"duplicate": 1}
        assert await books.send(detached) == expected
        assert await books.send(detached) == ({"repeated": 1} if seconds_later else {"duplicate": 1})
        assert len(charged(books)) == (2 if seconds_later else 1)


async def test_calls_alike_at_the_same_time_stay_two_though_spans_between_are_missing(tmp_path: Path) -> None:
    """Two embeddings (no response ids), each seen outside and inside; nobody sent what lies between."""
    calls = [
        [at(1, None, "vendor.sdk"), at(2, 9, OWN_SCOPE, {"p402.outer_span.scope": "other"})],
        [at(3, None, "vendor.sdk"), at(4, 8, OWN_SCOPE, {"p402.outer_span.scope": "other"})],
    ]
    async with open_books(tmp_path) as books:
        for span in (*calls[0], *calls[1]):
            await books.send(span)
        assert len(charged(books)) == 2
        assert reasons(books) == ["duplicate"] * 2


async def test_two_calls_one_after_the_other_under_a_missing_span_are_two(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        await books.send(at(1, 9, "vendor.sdk", seconds=0.001))
        assert await books.send(at(5, 9, "other.sdk", seconds=0.001)) == {"charged": 1}


LESS = {"gen_ai.usage.output_tokens": 1}
SAME_ANSWER = {"gen_ai.response.id": ANSWER}
FORGERIES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    # what the forger's earlier span says, where it stands, who sends it; what becomes of the real one
    "another key, the same span": ({}, {"span_id": OURS}, {"key_id": "key_2"}, "quarantined"),
    "another key, around it": ({}, {}, {"key_id": "key_2"}, "charged"),
    "another key, the same answer": (SAME_ANSWER, {}, {"key_id": "key_2"}, "charged"),
    "another organisation": ({"p402.organisation": "initech"}, {}, {}, "charged"),
    "another organisation, bound": ({}, {}, {"key_id": "key_2", "bound_to": Attribution("initech")}, "charged"),
    "an invented answer": ({"gen_ai.response.id": "msg_invented_by_nobody", **LESS}, {}, {}, "charged"),
    "less usage": (LESS, {}, {}, "quarantined"),
    "less usage, the same answer": ({**SAME_ANSWER, **LESS}, {}, {}, "quarantined"),
    "less usage, the same answer elsewhere": ({**SAME_ANSWER, **LESS}, {"trace_id": b"\x02" * 16}, {}, "quarantined"),
    "the same span, a cheaper model": (
        *({"gen_ai.response.model": "claude-haiku-4-5"}, {"span_id": OURS}, {}),
        "quarantined",
    ),
    "a cheaper model": ({"gen_ai.response.model": "claude-haiku-4-5"}, {}, {}, "quarantined"),
    "a model without a price": ({"gen_ai.response.model": "opus-of-tomorrow"}, {}, {}, "quarantined"),
    "all of it from a cache": ({"gen_ai.usage.cache_read.input_tokens": 2847}, {}, {}, "quarantined"),
    "the same price for somebody else": ({"p402.employee": "e-1"}, {}, {}, "duplicate"),  # cannot be told
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_earlier_span_never_hides_what_a_real_one_costs(tmp_path: Path, forgery: str) -> None:
    says, stands, sent, outcome = FORGERIES[forgery]
    forged = replace(at(4, 1, "vendor.sdk", says), **stands)
    real = at(7, 4, OWN_SCOPE, {**SAME_ANSWER, "p402.outer_span.scope": "vendor.sdk"})
    async with open_books(tmp_path) as books:
        await books.send(forged, **{"key_id": "key_1", **sent})
        assert await books.send(real, key_id="key_1") == {outcome: 1}


@pytest.mark.parametrize(("together", "outcome"), [(True, "charged"), (False, "quarantined")])
async def test_a_providers_count_goes_before_an_estimate_unless_that_is_charged(
    tmp_path: Path, *, together: bool, outcome: str
) -> None:
    counted = at(1, None, "vendor.sdk")
    estimate = at(2, 1, OWN_SCOPE, {"p402.usage.source": "estimated", **LESS, "p402.outer_span.scope": "vendor.sdk"})
    async with open_books(tmp_path) as books:
        for batch in [(estimate, counted)] if together else [(estimate,), (counted,)]:
            await books.send(*batch)
        assert len(charged(books)) == 1
        assert (charged(books) == [counted.span_id]) == (outcome == "charged")
        assert reasons(books) == ["quarantined"]


async def test_links_of_another_sender_join_nothing(tmp_path: Path) -> None:
    """Who knows the ids of a trace could say that two calls side by side lie in each other."""
    async with open_books(tmp_path) as books:
        await books.send(at(2, 9, "vendor.sdk", {"gen_ai.usage.output_tokens": 7}), key_id="key_1")
        await books.send(at(3, 2, "vendor.sdk", AGENT), key_id="key_2")
        assert await books.send(at(4, 3, "vendor.sdk"), key_id="key_1") == {"charged": 1}


async def test_links_are_forgotten_after_an_hour_and_the_table_stays_small(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_books(tmp_path, clock) as books:
        for number in range(5):
            await books.send(*(ASpan(**HTTP, scope="http") for _ in range(20)))
            assert books.value("SELECT count(*) FROM span_links") == 20 * min(number + 1, 2)
            clock.advance(minutes=40)
