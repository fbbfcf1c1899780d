"""One comparison from files to rows: what they are, which days they cover, and what our prices are."""

from __future__ import annotations

import calendar
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from functools import lru_cache

from p402.collector.reconciliation.lines import ExportUnreadable, LineKind, ProviderExport, model_key
from p402.collector.reconciliation.match import UnitPrice
from p402.collector.reconciliation.read import read_export
from p402.decisions import RateCard, UnpriceableUsage
from p402.vocabulary import Usage

__all__ = ["CardOf", "Documents", "read_documents", "unit_prices"]

CardOf = Callable[[str, date], RateCard | None]
"""Gives the prices of a model, by the name that the provider gave, on a day."""

_MANY = 10_000  # tokens: enough that rounding to a nano-dollar is far behind the point, and no long prompt
_USAGES = {
    LineKind.INPUT: Usage(input_tokens=_MANY),
    LineKind.OUTPUT: Usage(output_tokens=_MANY),
    LineKind.CACHE_READ: Usage(input_tokens=_MANY, cache_read_input_tokens=_MANY),
    LineKind.CACHE_WRITE: Usage(input_tokens=_MANY, cache_write_input_tokens=_MANY),
    LineKind.CACHE_WRITE_1H: Usage(
        input_tokens=_MANY, cache_write_input_tokens=_MANY, cache_write_1h_input_tokens=_MANY
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Files of one provider, read."""

    provider: str
    exports: Sequence[ProviderExport]
    described: Sequence[Mapping[str, str]]
    """Name, SHA-256 and shape of each."""
    begin: date
    end: date
    """The last day."""
    time_zone: str


def read_documents(files: Sequence[tuple[str, bytes]], period: str | None) -> Documents:
    """Read files that belong together.

    Args:
        files: names and contents.
        period: a month (``2026-10``): its days are compared, all of them; None: the days from the first line to the last.

    Raises:
        ExportUnreadable: naming the file that is wrong, and why; or if the files do not belong together.
    """
    exports, described = [], []
    for name, content in files:
        try:
            export = read_export(content)
        except ExportUnreadable as error:
            raise ExportUnreadable(f"{name}: {error}") from error
        exports.append(export)
        described.append({"name": name, "sha256": hashlib.sha256(content).hexdigest(), "shape": export.shape})
    providers, zones = {export.provider for export in exports}, {export.time_zone for export in exports}
    if len(providers) > 1:
        raise ExportUnreadable(f"The files are of {' and '.join(sorted(providers))}; compare one provider at a time.")
    if len(zones) > 1:
        raise ExportUnreadable(
            f"The days of the files are days of {' and '.join(sorted(zones))}: they cannot be compared."
        )
    if period is None:
        days = [line.day for export in exports for line in export.lines]
        begin, end = min(days), max(days)
    else:
        begin, end = _month(period)
        exports = [_within(export, begin, end) for export in exports]
    return Documents(
        provider=providers.pop(), exports=exports, described=described, begin=begin, end=end, time_zone=zones.pop()
    )


def unit_prices(card_of: CardOf, names: Iterable[str]) -> UnitPrice:
    """Give our unit prices, by the spelling in which models are compared.

    Args:
        card_of: the price book.
        names: of models as the ledger has them; one that only the invoice has is looked up by its own spelling.
    """
    spelled = {model_key(name): name for name in sorted(names)}

    @lru_cache(maxsize=10_000)
    def price(day: date, model: str, kind: LineKind) -> Fraction | None:
        card = card_of(spelled.get(model, model), day)
        if card is None:
            return None
        try:
            return Fraction(card.cost(_USAGES[kind]).nano_usd, _MANY)
        except UnpriceableUsage:
            return None

    return price


def _month(period: str) -> tuple[date, date]:
    try:
        begin = date.fromisoformat(f"{period}-01")
    except ValueError as error:
        raise ExportUnreadable(f"The period must be a month such as 2026-10; got {period[:20]!r}.") from error
    return begin, begin.replace(day=calendar.monthrange(begin.year, begin.month)[1])


def _within(export: ProviderExport, begin: date, end: date) -> ProviderExport:
    lines = tuple(line for line in export.lines if begin <= line.day <= end)
    if not lines:
        first, last = min(line.day for line in export.lines), max(line.day for line in export.lines)
        raise ExportUnreadable(f"No line is of {begin:%Y-%m}: the file has those from {first} to {last}.")
    return replace(export, lines=lines)
