"""Loading the book: its name, its digest, its memory, and what it leaves alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal

from genai_prices import data, data_snapshot
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from p402.collector.pricing import PriceBook, Priced, Schedule, load_price_book
from p402.collector.pricing.snapshot import Snapshot
from p402.vocabulary import PriceReference, Usage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
USAGE = Usage(input_tokens=1_000, output_tokens=1_000)

LOAD_WITHOUT_NETWORK = """
import socket
def refuse(*_, **__): raise AssertionError("the price book reached for the network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from p402.collector.pricing import load_price_book
print(load_price_book().reference.sha256)
"""


def load_elsewhere(hash_seed: str) -> str:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", LOAD_WITHOUT_NETWORK]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_the_digest_is_the_same_in_every_process_and_needs_no_network(book: PriceBook) -> None:
    assert load_elsewhere("1") == load_elsewhere("2") == book.reference.sha256


def test_the_book_is_named_by_version_and_digest(book: PriceBook) -> None:
    assert book.reference.book == "genai-prices/0.2.3"
    assert book.reference.sha256 == "956c8dd0cdcdf301d5ee76f2d0f6ecf38db113b7f8f329b44b4665790bc863e5"


def tiny(**prices: Decimal) -> DataSnapshot:
    model = ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=ModelPrice(**prices))
    return DataSnapshot([Provider(id="p", name="P", api_pattern="p", models=[model])], from_auto_update=False)


def test_the_digest_changes_with_a_price() -> None:
    digests = {Snapshot(tiny(input_mtok=Decimal(price))).sha256() for price in ("1", "1.1", "2")}
    assert len(digests) == 3
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)


def test_loading_and_pricing_leave_genai_prices_as_it_was() -> None:
    bundled = data_snapshot.get_snapshot()
    before, cached = deepcopy(data.providers), dict(bundled._lookup_cache)
    load_price_book().price("openai", "gpt-4o", USAGE, NOW, "priority")
    assert data.providers == before
    assert data_snapshot.get_snapshot() is bundled
    assert bundled._lookup_cache == cached


def test_prices_that_somebody_else_updates_do_not_reach_the_book() -> None:
    data_snapshot.set_custom_snapshot(tiny(input_mtok=Decimal(1)))
    try:
        assert load_price_book().reference.sha256.startswith("956c8dd0")
    finally:
        data_snapshot.set_custom_snapshot(None)


def test_names_from_outside_do_not_fill_the_memory(book: PriceBook) -> None:
    small = PriceBook(book.reference, book._find.__wrapped__, (), remembered=8)
    for number in range(100):
        small.price("openai", f"unheard-of-{number}", USAGE, NOW)
        small.price(f"nobody-{number}", "gpt-4o", USAGE, NOW)
        small.price("openai", "x" * 300 + str(number), USAGE, NOW)
    assert small._find.cache_info().currsize == 8


def test_contexts_from_outside_do_not_fill_the_memory() -> None:
    schedule = Snapshot(DataSnapshot(data.providers, from_auto_update=False)).schedule("openai", "gpt-4o")
    assert isinstance(schedule, Schedule)
    for number in range(100):
        schedule.card(NOW, {"service_tier": f"tier-{number}", f"key-{number}": "x"})
    assert len(schedule._cards) == 1


calls = st.tuples(
    st.sampled_from([("openai", "gpt-4o"), ("openai", "o3"), ("anthropic", "claude-opus-4-5"), ("openai", "none")]),
    st.sampled_from([datetime(2025, 1, 1, tzinfo=UTC), NOW]),
    st.sampled_from([None, "batch", "priority", "standard", "?"]),
)


@given(st.lists(calls, max_size=12), st.integers(1, 3))
@settings(deadline=None)
def test_the_price_does_not_depend_on_what_was_priced_before(
    book: PriceBook, before: list[tuple[tuple[str, str], datetime, str | None]], remembered: int
) -> None:
    warm = PriceBook(PriceReference("warm", ""), book._find.__wrapped__, (), remembered=remembered)
    for (provider, model), at, tier in before:
        result = warm.price(provider, model, USAGE, at, tier)
        fresh = PriceBook(PriceReference("warm", ""), book._find.__wrapped__, ())
        assert result == fresh.price(provider, model, USAGE, at, tier)
        assert isinstance(result, Priced) or model == "none" or tier in {"batch", "priority", "?"}
