"""Whatever happens in whatever order, every charge is in exactly one receipt and the receipts come to what was charged."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from p402.vocabulary import Money
from support.open_books import open_books
from support.otlp import ASpan

SESSIONS = st.sampled_from(["s1", "s2", None])
CALLS = st.builds(
    lambda session, department, model, tokens: ASpan.of(
        {
            "p402.session": session,
            "p402.department": department,
            "gen_ai.response.model": model,
            "gen_ai.usage.input_tokens": tokens,
        }
    ),
    SESSIONS,
    st.sampled_from(["legal", "sales"]),
    st.sampled_from(["claude-opus-4-5", "opus-of-tomorrow"]),
    st.integers(0, 10**6),
)
EVENTS = st.one_of(
    st.lists(CALLS, min_size=1, max_size=4),
    st.sampled_from(["close s1", "close s2", "seal"]),
    st.integers(1, 1_500),  # seconds pass
)


@settings(deadline=None, max_examples=40)
@given(st.lists(EVENTS, max_size=10))
async def test_receipts_come_to_what_was_charged(events: list[list[ASpan] | str | int]) -> None:
    with TemporaryDirectory() as folder:
        async with open_books(Path(folder)) as books:
            for event in [*events, 2_000, "seal"]:
                match event:
                    case "seal":
                        await books.sealer.catch_up()
                    case str():
                        await books.sealer.close("acme", event.removeprefix("close "))
                    case int():
                        books.clock.advance(seconds=event)
                    case _:
                        await books.send(*event)
            entries = books.entries()
            cost, charges, unpriced, tokens = books.rows(
                "SELECT coalesce(sum(cost_nano_usd), 0), count(*), count(*) - count(cost_nano_usd), sum(input_tokens)"
                " FROM charges"
            )[0]
            assert sum(Money.parse(entry["cost_usd"]).nano_usd for entry in entries) == cost
            assert sum(entry["charges"]["count"] for entry in entries) == charges
            assert sum(entry["unpriced_requests"] for entry in entries) == (unpriced or 0)
            assert sum(entry["tokens"]["input"] for entry in entries) == (tokens or 0)
            assert books.value("SELECT coalesce(sum(cost_nano_usd), 0) FROM receipts") == cost
            assert [entry["seq"] for entry in entries] == list(range(len(entries)))
