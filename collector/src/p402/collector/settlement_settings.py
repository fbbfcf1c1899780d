"""Who is settled how: in general, and by the tables ``[[settlement]]`` of the configuration file.

The tables come from the file alone, never from the API: whoever can name a payee can have money sent there.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from p402.collector.outbound import callable_url
from p402.collector.setting_bounds import MOST_USD, TEN_YEARS
from p402.receipts import normalise_address
from p402.vocabulary import Permanent, is_valid_id

__all__ = ["SettlementDefaults", "SettlementSettings"]

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


class SettlementDefaults(BaseModel):
    """A part of the settings: the chain, who pays, when, and how whoever has no table of their own is settled."""

    settlement_mode: Annotated[
        ModeName,
        Field(
            description="`anchor`: checkpoints are anchored on Tempo. `pay`: and what was metered is paid. `reference`: and the "
            "statement says where it was paid. `off`: nothing."
        ),
    ] = "off"
    settlement_payee: Annotated[AnAddress | None, Field(description="Who is paid in mode `pay`.")] = None
    settlement_minimum_payout_usd: Annotated[
        MinimumPayout, Field(description="What is less than this is carried into the next settlement.")
    ] = LEAST_PAYOUT
    settlement_network: Annotated[
        Literal["mainnet", "moderato", "local"], Field(description="Chain to settle on; gives chain id and defaults.")
    ] = "moderato"
    settlement_rpc_url: Annotated[str | None, Field(description="JSON-RPC address; unset: the network's.")] = None
    settlement_token: Annotated[str | None, Field(description="TIP-20 token of settlements; unset: the network's.")] = (
        None
    )
    settlement_fee_token: Annotated[
        AnAddress | None, Field(description="TIP-20 token that fees are paid in; unset: the token of settlements.")
    ] = None
    settlement_max_fee_per_gas: Annotated[
        int | None,
        Field(
            gt=0, le=10**18, description="Most that a unit of gas may cost, in 10⁻¹⁸ USD; unset: four times the usual."
        ),
    ] = None
    settlement_explorer_url: Annotated[
        str | None, Field(description="Block explorer that receipts link to; unset: the network's.")
    ] = None
    settlement_key_file: Annotated[
        Path | None, Field(description="File with the hex private key that signs settlements.")
    ] = None
    settlement_payer: Annotated[
        AnAddress | None, Field(description="Account that authorised the key, if that is an access key.")
    ] = None
    settlement_interval_seconds: Annotated[
        float, Field(ge=0, le=TEN_YEARS, description="Receipts of one organisation are settled this often.")
    ] = 600
    settlement_receipts: Annotated[
        int, Field(ge=1, le=1_000_000, description="So many receipts are settled at once, before the interval is over.")
    ] = 1000
    settlement_accrued_usd: Annotated[
        Decimal,
        Field(gt=0, le=MOST_USD, decimal_places=9, description="And so is so much money that they came to."),
    ] = Decimal(100)
    settlement: Annotated[
        tuple[SettlementSettings, ...],
        Field(description="Organisations that are settled in another mode or to another payee; only in the file."),
    ] = ()

    @model_validator(mode="after")
    def _settlement_fits_together(self) -> Self:
        if self.settles and self.settlement_key_file is None:
            raise ValueError("settlement_mode is on, so settlement_key_file must name the file of the signing key")
        if (self.settlement_mode == "pay") != (self.settlement_payee is not None):
            raise ValueError("settlement_mode pay needs settlement_payee, and the other modes have none")
        organisations = [table.organisation for table in self.settlement]
        if len(organisations) != len(set(organisations)):
            raise ValueError("each organisation may have one table [[settlement]]")
        return self

    @property
    def settles(self) -> bool:
        """Whether any organisation is settled."""
        return any(mode != "off" for mode in (self.settlement_mode, *(table.mode for table in self.settlement)))
