"""How documents write figures: exact, grouped by thousands, aligned by their decimals (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

__all__ = ["amounts", "count", "shortened", "utc"]


def count(value: int) -> str:
    """Write a whole number: ``1,234,567``, negative ones with a minus sign."""
    return f"{value:,}".replace("-", "−")


def amounts(column: Sequence[str | None]) -> list[str]:
    """Write amounts of one column, decimal strings of USD, with as many decimals each: two, or what the finest one needs.

    No digit is ever rounded away. None, which is an unknown amount and not zero, becomes a dash.
    """
    places = max((len(text.partition(".")[2]) for text in column if text is not None), default=0)
    return ["–" if text is None else _amount(text, max(places, 2)) for text in column]


def _amount(text: str, places: int) -> str:
    whole, _, fraction = text.removeprefix("-").partition(".")
    sign = "−" if text.startswith("-") else ""
    return f"{sign}{int(whole):,}.{fraction.ljust(places, '0')}"


def utc(text: str | int) -> str:
    """Write a time, given in RFC 3339 or as seconds since 1970, as ``2026-11-23 09:00:00.000 UTC``.

    Seconds of a block's time have no decimals.
    """
    if isinstance(text, int):
        return datetime.fromtimestamp(text, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"


def shortened(text: str) -> str:
    """Give a long id as it fits into a margin: its beginning and its end."""
    return text if len(text) <= 60 else f"{text[:40]} … {text[-12:]}"  # noqa: PLR2004 - characters of a line
