"""Who is settled how: the tables ``[[settlement]]`` of the configuration file.

They come from the file alone, never from the API: whoever can name a payee can have money sent there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from p402.collector.outbound import callable_url
from p402.receipts import normalise_address
from p402.vocabulary import Permanent, is_valid_id

__all__ = ["LEAST_PAYOUT", "AnAddress", "MinimumPayout", "ModeName", "SettlementSettings"]

_MOST_USD = 1_000_000
LEAST_PAYOUT = Decimal("0.10")
"""USD; then fees stay below one per cent of a payment even at Tempo's highest price of gas."""

ModeName = Literal["off", "anchor", "pay", "reference"]
MinimumPayout = Annotated[Decimal, Field(ge=0, le=_MOST_USD, decimal_places=6)]


def _address(text: str) -> str:
    try:
        return normalise_address(text)
    except Permanent as error:
        raise ValueError(str(error)) from error


def _organisation(text: str) -> str:
    if not is_valid_id(text):
        raise ValueError("an organisation is 1 to 256 printable characters")
    return text


def _payee_url(url: str | None) -> str | None:
    return None if url is None else callable_url(url, "a payee")


AnAddress = Annotated[str, AfterValidator(_address)]


class SettlementSettings(BaseModel):
    """How one organisation is settled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    organisation: Annotated[str, AfterValidator(_organisation)]
    mode: ModeName
    payee: AnAddress | None = None
    payee_url: Annotated[str | None, AfterValidator(_payee_url)] = None
    """Where a payee that speaks MPP says how it is to be paid; it is still the `payee` that is paid."""
    allow_private: bool = False
    minimum_payout_usd: MinimumPayout = LEAST_PAYOUT

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.mode == "pay") != (self.payee is not None):
            raise ValueError("mode pay needs a payee, and the other modes have none")
        if self.payee_url is not None and self.payee is None:
            raise ValueError("payee_url says how the payee is paid: mode pay, with the address as payee")
        if self.allow_private and self.payee_url is None:
            raise ValueError("allow_private is about payee_url")
        return self
