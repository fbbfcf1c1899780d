"""What a provider says was used and what it costs, in one shape whatever its export looks like (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from typing import Any

from p402.vocabulary import NANO_PER_USD, Money, Permanent

__all__ = [
    "ExportUnreadable",
    "InvoiceLine",
    "LineKind",
    "ProviderExport",
    "day_of",
    "finest_nano_usd",
    "model_key",
    "read_amount",
    "read_count",
]

_DATE_AT_THE_END = re.compile(r"(-20\d\d-?[01]\d-?[0-3]\d|@20\d{6}|-latest)$")
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9]+")
_MOST_USD = Decimal(9_000_000_000)
_FINEST = -40  # power of ten of an amount's last digit: exact arithmetic with finer ones takes for ever
_YEARS = range(2000, 2200)


class ExportUnreadable(Permanent):
    """A file is not an export that we can read; the message says what is wrong and where."""


class LineKind(StrEnum):
    """What a line counts. Each token belongs to one kind: `INPUT` has neither what was read from a cache nor written to one."""

    INPUT = "input"
    CACHE_READ = "cache_read"
    CACHE_WRITE = "cache_write"
    """Kept for five minutes, or as long as the provider likes."""
    CACHE_WRITE_1H = "cache_write_1h"
    OUTPUT = "output"
    CREDIT = "credit"
    """A discount or a credit; its amount is negative."""
    OTHER = "other"
    """Priced, but not by the token: searches, containers, storage."""
    ANY = "any"
    """A cost of which the export does not say what it is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """One statement of a provider. A line of usage has tokens or requests, one of costs an amount; some have both."""

    day: date
    """In the export's time zone."""
    model: str | None
    """As `model_key` spells it; None if the export does not say."""
    key: str | None = None
    """The provider's own API key, project or workspace: what the export is broken down by."""
    kind: LineKind = LineKind.ANY
    tokens: int | None = None
    requests: int | None = None
    amount: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderExport:
    """What one file says."""

    provider: str
    """``openai``, ``anthropic`` or ``google``."""
    shape: str
    """Which of the provider's exports it is, for people."""
    lines: tuple[InvoiceLine, ...]
    time_zone: str = "UTC"
    """What its days are days of."""
    names_models: bool = True
    quantum_nano_usd: int = 1
    """The last digit that its amounts have: they may be rounded to it."""

    @property
    def has_costs(self) -> bool:
        """Whether it states amounts."""
        return any(line.amount is not None for line in self.lines)

    @property
    def has_tokens(self) -> bool:
        """Whether it counts tokens."""
        return any(line.tokens is not None for line in self.lines)


def model_key(name: str) -> str:
    """Spell the name of a model in the one way in which invoices and the ledger are compared.

    Exports name the same model as ``claude-haiku-4-5-20251001`` and as ``Claude Haiku 4.5``. Dates at the end are left
    out, so snapshots of one model are compared together.
    """
    lower = name.strip().lower().removeprefix("models/").rpartition("/")[2]
    plain = _DATE_AT_THE_END.sub("", lower)
    return _NOT_OF_A_NAME.sub("-", plain).strip("-")


def read_amount(value: Any, where: str, *, per_usd: int = 1) -> tuple[Money, int]:
    """Read an amount, rounded half-even to a nano-dollar, and the value in nano-USD of its last digit.

    Args:
        value: a JSON number (read as `Decimal`) or a decimal string.
        where: for the error.
        per_usd: how many of the unit are a dollar; 100 for cents.

    Raises:
        ExportUnreadable: if it is no amount.
    """
    try:
        amount = Decimal(str(value).strip().replace(",", "") or "0")
    except InvalidOperation as error:
        raise ExportUnreadable(f"{where} is no amount: {str(value)[:40]!r}.") from error
    exponent = _last_digit(amount)
    if exponent is None or not _FINEST <= exponent <= -_FINEST or abs(amount) > _MOST_USD * per_usd:
        raise ExportUnreadable(f"{where} is no amount that can be: {str(value)[:40]!r}.")
    nano = (Fraction(amount) * NANO_PER_USD) / per_usd
    digit = Fraction(10) ** min(0, exponent) * NANO_PER_USD / per_usd
    return Money(round(nano)), max(1, round(digit))  # a Fraction is rounded half-even


def _last_digit(amount: Decimal) -> int | None:
    """Give the power of ten of the last digit that is not a zero; None for what is no number."""
    _, digits, exponent = amount.as_tuple()
    if not isinstance(exponent, int):
        return None
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return 0 if zeros == len(digits) else exponent + zeros


def read_count(value: Any, where: str) -> int:
    """Read a number of tokens or requests; nothing is none.

    Raises:
        ExportUnreadable: if it is no whole number from 0 on.
    """
    text = str(value if value is not None else 0).strip().replace(",", "") or "0"
    try:
        count = Decimal(text)
    except InvalidOperation:
        count = Decimal(-1)
    if not count.is_finite() or count < 0 or count != count.to_integral_value() or count > 2**53:
        raise ExportUnreadable(f"{where} is no number of tokens or requests: {str(value)[:40]!r}.")
    return int(count)


def finest_nano_usd(digits: Iterable[int]) -> int:
    """Tell to what an export rounds: the finest last digit of all its amounts, since trailing zeros are not written."""
    return min(digits, default=1)


def day_of(value: Any, where: str) -> date:
    """Read the day on which a period begins: seconds since 1970, or a date or time in ISO 8601.

    Raises:
        ExportUnreadable: if it is none of these.
    """
    text = str(value if value is not None else "").strip()
    try:
        if text.isascii() and text.isdigit():
            moment = datetime.fromtimestamp(int(text), UTC)
        else:
            moment = datetime.fromisoformat(text.removesuffix(" UTC"))
    except (ValueError, OverflowError, OSError) as error:
        raise ExportUnreadable(f"{where} is no time: {text[:40]!r}.") from error
    day = (moment.astimezone(UTC) if moment.tzinfo else moment).date()
    if day.year not in _YEARS:
        raise ExportUnreadable(f"{where} is a time of the year {day.year}.")
    return day
