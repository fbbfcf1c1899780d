"""Amounts of money: whole nano-dollars, never a float.

One nano-dollar is 10⁻⁹ USD, so 64 bits hold 9.2 billion dollars. Amounts travel as decimal strings of USD.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

__all__ = ["NANO_PER_MICRO", "NANO_PER_USD", "Money"]

NANO_PER_USD = 1_000_000_000
NANO_PER_MICRO = 1_000  # the chain counts micro-dollars (TIP-20 tokens have 6 decimals)

_DECIMAL = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?")


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An exact amount in nano-USD. Adding, subtracting and comparing are exact; there is no division."""

    nano_usd: int

    def __post_init__(self) -> None:
        if type(self.nano_usd) is not int:
            raise TypeError(f"Money counts whole nano-dollars; got {self.nano_usd!r} ({type(self.nano_usd).__name__}).")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a decimal string of USD such as ``"0.264235"``; at most nine decimals, no exponent.

        Raises:
            ValueError: if the text is not such a string.
        """
        match = _DECIMAL.fullmatch(text)
        if match is None:
            raise ValueError(f"An amount is a decimal string of USD with at most nine decimals; got {text!r}.")
        sign, whole, fraction = match.groups()
        nano = int(whole) * NANO_PER_USD + int((fraction or "").ljust(9, "0"))
        return cls(-nano if sign else nano)

    def __str__(self) -> str:
        """Write the shortest decimal string of USD: ``"0.264235"``, ``"12"``, ``"-0.000000001"``."""
        sign = "-" if self.nano_usd < 0 else ""
        whole, nano = divmod(abs(self.nano_usd), NANO_PER_USD)
        fraction = f"{nano:09d}".rstrip("0")
        return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"

    def __add__(self, other: Money) -> Money:
        return Money(self.nano_usd + other.nano_usd)

    def __sub__(self, other: Money) -> Money:
        return Money(self.nano_usd - other.nano_usd)

    def __neg__(self) -> Money:
        return Money(-self.nano_usd)

    def to_micro_usd(self) -> tuple[int, Money]:
        """Split into whole micro-dollars (floor) and what is left over, to be carried into the next settlement."""
        micro, rest = divmod(self.nano_usd, NANO_PER_MICRO)
        return micro, Money(rest)
