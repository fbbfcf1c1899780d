"""FOCUS Cost and Usage rows: version 1.2, and the columns of 1.3 and 1.4 that name the providers (focus.finops.org).

One row is for the charges of one receipt (charges that are not sealed yet make rows of their own) that share hour, model,
prices and token kind. ``BilledCost`` and ``EffectiveCost`` are what the ledger has, to the nano-dollar, so the rows of a
charge add up to it; ``ListCost`` and ``ContractedCost`` are the exact product of quantity and unit price, as the specification
asks, and may have more decimals: the one by the provider's list, the other by what was agreed with it. Every number has a point, by which readers tell decimals from whole numbers. A charge without a price has no row, since a cost must not be null and zero would be a lie: the caller counts
and lists it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from p402.exporters.documents.csv_lines import Cell
from p402.exporters.documents.posted import PostedCharge, month_of, next_month
from p402.exporters.documents.token_kinds import split_cost
from p402.vocabulary import Level

__all__ = ["FOCUS_COLUMNS", "FOCUS_VERSION", "focus_rows"]

FOCUS_VERSION = "1.2"
FOCUS_COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "CommitmentDiscountStatus",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_ReceiptId",
    "x_LeafHash",
    "x_TempoTxHash",
    "x_FirstSeq",
    "x_LastSeq",
    "x_Charges",
    "x_UsageSource",
    "x_ServiceTier",
    "x_PriceBook",
    "x_PriceBookSha256",
    "x_MarkupBasisPoints",
    "x_MarkupCost",
    "x_CostWithMarkup",
    "x_Employee",
    "x_Session",
)

_HOUR = timedelta(hours=1)
_NANO_DECIMALS = 9
_BASIS_POINT_DECIMALS = 13  # nine of a nano-dollar, four of a basis point: a mark-up needs no rounding here
_NAMES = {
    "anthropic": "Anthropic",
    "aws.bedrock": "Amazon Web Services",
    "azure.ai.inference": "Microsoft",
    "azure.ai.openai": "Microsoft",
    "cohere": "Cohere",
    "gcp.gemini": "Google",
    "gcp.gen_ai": "Google",
    "gcp.vertex_ai": "Google Cloud",
    "mistral_ai": "Mistral AI",
    "openai": "OpenAI",
}
"""How providers write their names; others are shown as spans name them."""

_Shared = tuple[Cell, ...]


@dataclass(slots=True)
class _Row:
    posted: PostedCharge
    meter: str
    unit: str
    unit_price: Fraction
    list_price: Fraction
    first_seq: int
    last_seq: int
    quantity: int = 0
    cost: int = 0
    charges: set[int] = field(default_factory=set)


def focus_rows(charges: Iterable[PostedCharge]) -> Iterator[tuple[Cell, ...]]:
    """Give the rows of charges that are given together, such as those of one session, in the order of `FOCUS_COLUMNS`.

    Employee and session are shown as far as the charges still name them: leave them out of what may not be disclosed.
    """
    rows: dict[_Shared, _Row] = {}
    for posted in charges:
        charge = posted.charge
        if charge.cost is None:
            continue
        for kind in split_cost(charge.cost, charge.usage, posted.card, posted.listed):
            prices = kind.unit_price, kind.list_price
            key = (*_shared(posted), kind.meter, *(part for price in prices for part in price.as_integer_ratio()))
            row = rows.get(key)
            if row is None:
                row = rows[key] = _Row(posted, kind.meter, kind.unit, *prices, posted.seq, posted.seq)
            row.quantity += kind.quantity
            row.cost += kind.cost.nano_usd
            row.first_seq, row.last_seq = min(row.first_seq, posted.seq), max(row.last_seq, posted.seq)
            row.charges.add(posted.seq)
    return map(_cells, rows.values())


def _shared(posted: PostedCharge) -> _Shared:
    """What the charges of one row have in common."""
    charge, receipt = posted.charge, posted.receipt
    return (
        posted.organisation,
        *(value for _, value in charge.attribution),
        receipt.receipt_id if receipt else str(posted.seq),
        charge.provider,
        charge.model,
        charge.service_tier,
        charge.usage_source.value,
        charge.price.sha256 if charge.price else None,
        _hour(charge.started_at),
        month_of(posted.posted_at),
        "Correction" if posted.correction else None,
        posted.markup_basis_points,
    )


def _cells(row: _Row) -> tuple[Cell, ...]:
    posted, charge, receipt = row.posted, row.posted.charge, row.posted.receipt
    provider = _NAMES.get(charge.provider, charge.provider)
    cost, quantity = _decimal(row.cost, _NANO_DECIMALS), _decimal(row.quantity, 0)
    hour, month = _hour(charge.started_at), month_of(posted.posted_at)
    sku = f"{charge.provider}/{charge.model}/{row.meter.lower().replace(' ', '-')}"
    unit_price, exact = _usd(row.unit_price), _usd(row.unit_price * row.quantity)
    list_price, at_list = _usd(row.list_price), _usd(row.list_price * row.quantity)
    points = posted.markup_basis_points
    project = charge.attribution.project
    tier = charge.service_tier
    values: dict[str, Cell] = {
        "BilledCost": cost,
        "BillingAccountId": posted.organisation,
        "BillingAccountName": posted.organisation,
        "BillingCurrency": "USD",
        "BillingPeriodStart": _time(month),
        "BillingPeriodEnd": _time(next_month(month)),
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if posted.correction else None,
        "ChargeDescription": f"{row.meter} of {charge.model} at {provider}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _time(hour),
        "ChargePeriodEnd": _time(hour + _HOUR),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": row.unit,
        "ContractedCost": exact,
        "ContractedUnitPrice": unit_price,
        "EffectiveCost": cost,
        "HostProviderName": provider,
        "InvoiceIssuerName": provider,
        "ListCost": at_list,
        "ListUnitPrice": list_price,
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "PricingCurrencyContractedUnitPrice": unit_price,
        "PricingCurrencyEffectiveCost": cost,
        "PricingCurrencyListUnitPrice": list_price,
        "PricingQuantity": quantity,
        "PricingUnit": row.unit,
        "ProviderName": provider,
        "PublisherName": provider,
        "ResourceId": receipt.receipt_id if receipt else None,
        "ResourceType": "AI session" if receipt else None,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": f"{provider} API",
        "ServiceProviderName": provider,
        "ServiceSubcategory": "Generative AI",
        "SkuId": sku,
        "SkuMeter": row.meter,
        "SkuPriceDetails": json.dumps({"x_ServiceTier": tier}) if tier else None,
        "SkuPriceId": "@".join(filter(None, (sku, charge.price.book if charge.price else None, tier))),
        "SubAccountId": project,
        "SubAccountName": project,
        "Tags": _tags(posted),
        "x_ReceiptId": receipt.receipt_id if receipt else None,
        "x_LeafHash": receipt.leaf_hash if receipt else None,
        "x_TempoTxHash": receipt.tx_hash if receipt else None,
        "x_FirstSeq": row.first_seq,
        "x_LastSeq": row.last_seq,
        "x_Charges": len(row.charges),
        "x_UsageSource": charge.usage_source.value,
        "x_ServiceTier": tier,
        "x_PriceBook": charge.price.book if charge.price else None,
        "x_PriceBookSha256": charge.price.sha256 if charge.price else None,
        "x_MarkupBasisPoints": points,
        "x_MarkupCost": None if points is None else _decimal(row.cost * points, _BASIS_POINT_DECIMALS),
        "x_CostWithMarkup": None if points is None else _decimal(row.cost * (10_000 + points), _BASIS_POINT_DECIMALS),
        "x_Employee": charge.attribution.employee,
        "x_Session": charge.attribution.session,
    }
    return tuple(values.get(column) for column in FOCUS_COLUMNS)


def _tags(posted: PostedCharge) -> str:
    shown = (Level.DEPARTMENT, Level.PROJECT, Level.CLIENT)
    tags = {f"p402/{level.value}": value for level, value in posted.charge.attribution if level in shown and value}
    if posted.charge.task_type:
        tags["p402/task_type"] = posted.charge.task_type
    return json.dumps(tags, ensure_ascii=False)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _usd(nano_usd: Fraction) -> Decimal:
    """Write an exact amount of nano-USD as USD. Prices are decimals, so their denominators divide a power of ten."""
    decimals = next(count for count in range(64) if 10**count % nano_usd.denominator == 0)
    return _decimal(nano_usd.numerator * 10**decimals // nano_usd.denominator, decimals + _NANO_DECIMALS)


def _decimal(number: int, decimals: int) -> Decimal:
    """Write ``number / 10**decimals`` with as few decimals as it has, but one."""
    while decimals > 1 and number % 10 == 0:
        number, decimals = number // 10, decimals - 1
    return Decimal(f"{number}E-{decimals}") if decimals else Decimal(f"{number}.0")
