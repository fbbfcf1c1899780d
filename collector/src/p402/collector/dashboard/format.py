"""Figures and times for people (pure); the templates' filters."""

from __future__ import annotations

from datetime import UTC, datetime

from p402.vocabulary import Money

__all__ = ["count", "priced", "short", "usd", "when"]


def usd(amount: Money | None) -> str:
    """Write dollars with at least two decimals and none cut: ``$1,234.50``, ``$0.264235``; ``unpriced`` for None."""
    if amount is None:
        return "unpriced"
    whole, _, fraction = str(amount).lstrip("-").partition(".")
    sign = "−" if amount.nano_usd < 0 else ""
    return f"{sign}${int(whole):,}.{fraction:0<2}"


def priced(amount: Money | str, unpriced: int) -> str:
    """Write a sum and how many of its parts have no price: ``$0.50 + 1 unpriced``; a sum of none is no price at all."""
    cost = Money.parse(amount) if isinstance(amount, str) else amount
    if not unpriced:
        return usd(cost)
    return f"{usd(cost)} + {unpriced} unpriced" if cost.nano_usd else f"{unpriced} unpriced"


def count(number: int) -> str:
    """Write a count with separators: ``12,847``."""
    return f"{number:,}"


def short(digest: str, length: int = 10) -> str:
    """Shorten a hash or an id so that it can be told from others by eye."""
    return digest if len(digest) <= length + 1 else digest[:length] + "…"


def when(moment: datetime) -> str:
    """Write a time in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
