"""Whatever spans say, a batch is taken in, counted and kept; and its sender is never told to try the same again."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p402.collector.dialects import genai_semconv
from support.open_books import open_books
from support.otlp import ATTRIBUTION, WORKED_EXAMPLE, ASpan

COUNTS = tuple(name for names in genai_semconv.USAGE.values() for name in names)
TEXTS = (
    *(name for name in (*WORKED_EXAMPLE, *ATTRIBUTION) if name not in COUNTS),
    "gen_ai.response.id",
    "gen_ai.system",
    "gen_ai.conversation.id",
    "p402.request",
    "p402.task_type",
    "p402.decision.rationale",
    "p402.outer_span.scope",
    "error.type",
)
COUNT = st.integers(-9, 99) | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.sampled_from(["9" * 5_000, "7"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.sampled_from(
    ["x" * 100_000, "gpt-4o", "a+b"]
)
VALUE = st.recursive(
    COUNT | TEXT | st.booleans() | st.binary(max_size=9), lambda inner: st.tuples() | st.tuples(inner, inner)
)


def attributes(names: tuple[str, ...], plausible: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), plausible | plausible | st.none() | VALUE, max_size=3)


SPANS = st.builds(
    lambda counts, texts, **fields: ASpan.of({**counts, **texts}, **fields),
    attributes(COUNTS, COUNT),
    attributes(TEXTS, TEXT),
    scope=st.sampled_from(["p402.instrumentation", "vendor.sdk", ""]),
    parent_span_id=st.sampled_from([b"", b"\x01" * 8, b"\x02" * 8]),
    span_id=st.sampled_from([b"\x01" * 8, b"\x02" * 8, b"\x03" * 8]),
    trace_id=st.just(b"\x01" * 16),
    failed=st.booleans(),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(SPANS, min_size=1, max_size=6))
async def test_no_span_can_spoil_its_batch_or_the_sealing_of_receipts(spans: list[ASpan]) -> None:
    with TemporaryDirectory() as folder:
        async with open_books(Path(folder)) as books:
            counts = await books.send(*spans)
            assert counts.total() == len(spans)
            assert books.value("SELECT count(*) FROM charges") == counts["charged"]
            books.clock.advance(hours=1)
            receipts = await books.sealer.catch_up()
            assert bool(receipts) == bool(counts["charged"])
            assert books.value("SELECT count(*) FROM sessions WHERE due_at IS NOT NULL") == 0


async def test_every_span_is_counted_by_what_became_of_it(tmp_path: Path) -> None:
    once = ASpan()
    async with open_books(tmp_path) as books:
        counts = await books.send(
            once,
            once,
            ASpan.of({"gen_ai.operation.name": "execute_tool"}),
            ASpan(attributes={"gen_ai.operation.name": "chat"}, failed=True),
            ASpan(attributes={"gen_ai.operation.name": "chat"}),
        )
        assert counts == {"charged": 1, "repeated": 1, "not_inference": 1, "failed": 1, "no_usage": 1}
        exposition = books.metrics.exposition().decode()
    for outcome in counts:
        assert f'p402_spans_total{{outcome="{outcome}"}} 1.0' in exposition


@pytest.mark.parametrize("model", ["gpt-4o", b"\x00", 7, ("a", b"b"), "x" * 100_000, None])
async def test_a_call_without_usage_is_kept_apart_with_its_model(tmp_path: Path, model: Any) -> None:
    totals = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    span = ASpan.of({**totals, "gen_ai.request.model": model})
    async with open_books(tmp_path) as books:
        assert await books.send(span, span) == {"no_usage": 2}
        [(reason, organisation, detail)] = books.rows("SELECT reason, organisation, detail FROM set_aside")
        assert (reason, organisation) == ("no_usage", "acme")
        assert ("gpt-4o" in detail) == (model == "gpt-4o")
        assert len(detail) < 300
        assert books.value("SELECT count(*) FROM charges") == 0


async def test_nothing_to_record_touches_no_disk(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        await books.database.close()
        assert await books.send() == {}
