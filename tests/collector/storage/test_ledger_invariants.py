"""The invariants of money, for any batches in any order with any repeats."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from support.open_books import OpenBooks, open_books
from support.otlp import MAY_2026, ASpan

HOUR_NS = 3_600_000_000_000
LEVELS = ("organisation", "department", "project", "client", "employee", "session")
SUMS = (
    "sum(coalesce(cost_nano_usd, 0)), count(*), count(*) - count(cost_nano_usd), sum(input_tokens), sum(output_tokens)"
)
COUNTED = "cost_nano_usd, charges, unpriced_charges, input_tokens, output_tokens"

NODE = st.sampled_from([None, "a", "b"])
CALLS = st.fixed_dictionaries(
    {
        "gen_ai.response.model": st.sampled_from(["claude-opus-4-5", "opus-of-tomorrow"]),
        "gen_ai.usage.input_tokens": st.integers(0, 2_000_000),
        "gen_ai.usage.output_tokens": st.integers(0, 2_000_000),
        **{f"p402.{level}": NODE for level in LEVELS},
    }
)
HOURS = st.integers(0, 2)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[ASpan], list[list[ASpan]]]:
    """Some calls, and batches in which each arrives at least once, in any order."""
    drawn = draw(st.lists(st.tuples(CALLS, HOURS), min_size=1, max_size=8))
    spans = [ASpan.of(call, started_ns=MAY_2026 + hours * HOUR_NS + 1) for call, hours in drawn]
    repeats = draw(st.lists(st.sampled_from(spans), max_size=8))
    order = draw(st.permutations(spans + repeats))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    batches = [order[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    return spans, batches


def price(span: ASpan) -> int | None:
    """List price by hand, in nano-dollars: $5 and $25 a million tokens."""
    if span.attributes["gen_ai.response.model"] != "claude-opus-4-5":
        return None
    usage = span.attributes
    return int(usage["gen_ai.usage.input_tokens"] * 5_000 + usage["gen_ai.usage.output_tokens"] * 25_000)


def counters_add_up(books: OpenBooks) -> None:
    for level in LEVELS:
        charged = books.rows(
            f"SELECT organisation, {level}, started_at / 3600000, {SUMS}"
            " FROM charges JOIN scopes ON scope_id = scopes.id GROUP BY 1, 2, 3"
        )
        counted = books.rows(f"SELECT organisation, node, hour, {COUNTED} FROM spend_hourly WHERE level = '{level}'")
        assert sorted(counted) == sorted(charged), level


@settings(deadline=None, max_examples=60)
@given(histories())
async def test_charges_and_counters_agree_at_every_level_in_every_hour(
    history: tuple[list[ASpan], list[list[ASpan]]],
) -> None:
    spans, batches = history
    prices = [price(span) for span in spans]
    with TemporaryDirectory() as folder:
        async with open_books(Path(folder)) as books:
            for batch in batches:
                await books.send(*batch)
                counters_add_up(books)
            assert books.value("SELECT count(*) FROM charges") == len(spans)
            assert books.value("SELECT count(*) FROM charges WHERE cost_nano_usd IS NULL") == prices.count(None)
            for level in LEVELS:
                query = f"SELECT sum(cost_nano_usd), sum(unpriced_charges) FROM spend_hourly WHERE level = '{level}'"
                assert books.rows(query) == [(sum(cost or 0 for cost in prices), prices.count(None))]
            assert books.value("SELECT count(*) FROM set_aside") == 0


REPORTS = st.builds(
    ASpan.of,
    st.fixed_dictionaries(
        {
            "gen_ai.response.id": st.sampled_from([None, "msg_1", "msg_2"]),
            "gen_ai.usage.output_tokens": st.sampled_from([1, 10_000]),
        }
    ),
    trace_id=st.just(b"\x01" * 16),
    span_id=st.sampled_from([bytes([number]) * 8 for number in (1, 2, 3, 4)]),
    parent_span_id=st.sampled_from([b"", b"\x01" * 8, b"\x02" * 8, b"\x03" * 8]),
    scope=st.sampled_from(["p402.instrumentation", "vendor.sdk"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(REPORTS, max_size=4), max_size=4))
async def test_no_report_is_lost_or_charged_twice(batches: list[list[ASpan]]) -> None:
    """Every span is charged, the same as before, or kept apart with a charge to look at; and sending all again changes nothing."""
    with TemporaryDirectory() as folder:
        async with open_books(Path(folder)) as books:
            for batch in batches:
                await books.send(*batch)
            counters_add_up(books)
            seen = {span.trace_id + span.span_id for batch in batches for span in batch}
            charged = {key for (key,) in books.rows("SELECT span_key FROM charges")}
            apart = {key for (key,) in books.rows("SELECT span_key FROM set_aside WHERE charge_seq IS NOT NULL")}
            assert charged | apart == seen
            assert len(charged) == books.value("SELECT count(*) FROM charges")
            charges = books.rows("SELECT * FROM charges")
            for batch in batches:
                assert (await books.send(*batch))["charged"] == 0
            assert books.rows("SELECT * FROM charges") == charges
