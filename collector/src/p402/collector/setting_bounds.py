"""Bounds that several settings have."""

from __future__ import annotations

__all__ = ["MOST_USD", "TEN_YEARS"]

TEN_YEARS = 315_576_000
"""In seconds; dates stay within what a calendar holds."""

MOST_USD = 9_000_000_000
"""Amounts of nano-USD have 64 bits."""
