"""How budgets hold money, what is odd, and what models can do and cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from p402.collector.price_settings import NegotiatedPriceSettings
from p402.collector.setting_bounds import MOST_USD, TEN_YEARS

__all__ = ["SpendingSettings"]


class SpendingSettings(BaseModel):
    """A part of the settings."""

    anomaly_factor: Annotated[
        Decimal,
        Field(
            ge=1,
            le=1000,
            decimal_places=3,
            description="How many times the employee's mean a session may cost unflagged.",
        ),
    ] = Decimal(3)
    anomaly_min_sessions: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="How many other sessions of the employee a mean needs to say anything."),
    ] = 5
    anomaly_min_usd: Annotated[
        Decimal,
        Field(
            ge=0, le=MOST_USD, decimal_places=9, description="A session of at most this is not compared with the mean."
        ),
    ] = Decimal("0.50")
    anomaly_session_usd: Annotated[
        Decimal,
        Field(gt=0, le=MOST_USD, decimal_places=9, description="A session above this is flagged, whoever's it is."),
    ] = Decimal(10)
    lease_seconds: Annotated[
        float, Field(ge=1, le=3600, description="How long a lease is good for new calls, unless its holder says less.")
    ] = 30
    decision_hold_seconds: Annotated[
        float,
        Field(ge=1, le=3600, description="How long a single decision holds money, unless its asker says otherwise."),
    ] = 600
    lease_settle_seconds: Annotated[
        float,
        Field(ge=0, le=86_400, description="How long after its end a lease waits for spans before it is unreconciled."),
    ] = 30
    unreconciled_grace_seconds: Annotated[
        float, Field(ge=0, le=TEN_YEARS, description="How long what is unreconciled counts against the caps.")
    ] = 86_400
    authorize_hold_usd: Annotated[
        Decimal,
        Field(
            gt=0,
            le=MOST_USD,
            decimal_places=9,
            description="What `/v1/authorize` holds for a call that it cannot see.",
        ),
    ] = Decimal("0.05")
    authorize_hold_seconds: Annotated[float, Field(ge=1, le=3600, description="How long it holds that.")] = 60
    model_catalogue_file: Annotated[
        Path | None,
        Field(description="TOML file of models that are added to the catalogue, or that it says otherwise of."),
    ] = None
    prices: Annotated[
        tuple[NegotiatedPriceSettings, ...],
        Field(description="Discounts and prices that were agreed with providers; only in the file."),
    ] = ()
