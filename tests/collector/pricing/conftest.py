"""The real price book, loaded once for all tests of prices."""

from __future__ import annotations

import pytest

from p402.collector.pricing import PriceBook, load_price_book


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return load_price_book()
