"""What models cost, over HTTP: the cards that calls are priced by, at any time."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Json, Time, shape
from p402.collector.api.query import Moment, NodeId, Query, wrong_parameter
from p402.collector.api.views import PriceBookView
from p402.collector.pricing import PriceBook
from p402.decisions import Catalogue, RateCard, Unpriced
from p402.vocabulary import Clock, rfc3339

__all__ = ["PricesApi"]

PerMillion = Annotated[str, Field(examples=["5"])]


class PricesQuery(Query):
    """Which prices."""

    provider: Annotated[
        NodeId | None,
        Field(description="`gen_ai.provider.name`; default: all of the catalogue.", examples=["anthropic"]),
    ] = None
    model: Annotated[NodeId | None, Field(description="Needs a provider.", examples=["claude-opus-4-5"])] = None
    service_tier: Annotated[NodeId | None, Field(examples=["batch"])] = None
    at: Annotated[Moment | None, Field(description="When the call began; default: now.")] = None


@shape
class PerMillionTokens(TypedDict):
    """USD for a million tokens, of prompts that are not long; null: there is no price."""

    input: PerMillion
    output: PerMillion | None
    cache_read: PerMillion
    cache_write: PerMillion
    cache_write_1h: PerMillion
    reasoning: PerMillion | None


@shape
class PriceView(TypedDict):
    """The price of a model, or why it has none."""

    provider: str
    model: str
    service_tier: str | None
    usd_per_million_tokens: PerMillionTokens | None
    card: Json | None
    """Exactly as calls are priced: integers, also for long prompts, audio and images."""
    unpriced_reason: str | None


@shape
class PriceList(TypedDict):
    """Prices at a time."""

    at: Time
    price_book: PriceBookView
    prices: list[PriceView]


@dataclass(frozen=True, slots=True)
class PricesApi:
    """What the handler needs."""

    authenticator: Authenticator
    prices: PriceBook
    catalogue: Catalogue
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the route; the README's table is checked against it."""
        return routes_of(self)

    @endpoint("GET /v1/prices", scope="spend:read", answers={200: PriceList})
    async def listed(self, caller: Caller, query: PricesQuery) -> web.Response:  # noqa: ARG002 - it must have a key
        """Show what models cost at a time: those of the catalogue, or any one by name."""
        if query.model is not None and query.provider is None:
            raise wrong_parameter({"provider": "must be named with a model"})
        at = query.at or self.clock.now()
        names = [(model.provider, model.model) for model in self.catalogue.models]
        if query.provider is not None:
            names = [name for name in names if name[0] == query.provider]
        if query.provider is not None and query.model is not None:
            names = [(query.provider, query.model)]
        views: list[PriceView] = []
        for provider, model in names:
            card = self.prices.card(provider, model, at, query.service_tier)
            priced = card if isinstance(card, RateCard) else None
            views.append(
                {
                    "provider": provider,
                    "model": model,
                    "service_tier": query.service_tier,
                    "usd_per_million_tokens": None if priced is None else _per_million(priced),
                    "card": None if priced is None else priced.to_wire(),
                    "unpriced_reason": card.reason if isinstance(card, Unpriced) else None,
                }
            )
        reference = self.prices.reference
        found: PriceList = {
            "at": rfc3339(at),
            "price_book": {"id": reference.book, "sha256": reference.sha256},
            "prices": views,
        }
        return web.json_response(found)


def _per_million(card: RateCard) -> PerMillionTokens:
    """Add up what a kind costs: the rate of a detail is what it adds to that of its total."""
    input_, output, read, written, written_1h, reasoning, *_ = card.rates

    def usd(rate: int) -> str:
        return (
            f"{Decimal(rate).scaleb(-3 - card.decimals).normalize():f}"  # nano-USD a token are a thousandth a million
        )

    return {
        "input": usd(input_),
        "output": usd(output) if card.prices_output else None,
        "cache_read": usd(input_ + read),
        "cache_write": usd(input_ + written),
        "cache_write_1h": usd(input_ + written + written_1h),
        "reasoning": usd(output + reasoning) if card.prices_output else None,
    }
