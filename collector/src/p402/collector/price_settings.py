"""Prices that differ from the list: the tables ``[[prices]]`` of the configuration file."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["PRICE_KEYS", "NegotiatedPriceSettings"]

_Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=9)]

PRICE_KEYS = {  # the setting, and what genai-prices calls it
    "input_usd_per_million": "input_mtok",
    "output_usd_per_million": "output_mtok",
    "cache_read_usd_per_million": "cache_read_mtok",
    "cache_write_usd_per_million": "cache_write_mtok",
    "cache_write_1h_usd_per_million": "cache_write_1h_mtok",
}


class NegotiatedPriceSettings(BaseModel):
    """A discount on a model's list prices, or prices of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Annotated[str, Field(min_length=1, max_length=256)]
    """As spans name it, such as ``openai`` or ``gcp.gemini``."""
    model: Annotated[str, Field(min_length=1, max_length=256)] = "*"
    """A name, or a pattern with ``*`` and ``?``."""
    since: date | None = None
    """The first day (UTC) on which it applies."""
    until: date | None = None
    """The day from which it does not apply any more."""
    discount_percent: Annotated[Decimal | None, Field(gt=-100, le=100, decimal_places=2)] = None
    """Off every list price; below zero it is a surcharge."""
    input_usd_per_million: _Usd | None = None
    output_usd_per_million: _Usd | None = None
    cache_read_usd_per_million: _Usd | None = None
    cache_write_usd_per_million: _Usd | None = None
    cache_write_1h_usd_per_million: _Usd | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.discount_percent is None) == (not self.prices):
            raise ValueError("say either discount_percent, or prices such as input_usd_per_million")
        if self.since and self.until and self.since >= self.until:
            raise ValueError("until must be later than since")
        return self

    @property
    def prices(self) -> dict[str, Decimal]:
        """The prices that are given, by the key of genai-prices."""
        given = {key: getattr(self, name) for name, key in PRICE_KEYS.items()}
        return {key: price for key, price in given.items() if price is not None}
