"""Dividing a whole amount into whole parts that add up to it exactly: the largest remainder's method."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["apportion", "divide_half_even"]


def divide_half_even(amount: int, unit: int) -> int:
    """Divide and round to the nearest whole number, a tie to the even one."""
    quotient, rest = divmod(amount, unit)
    twice = 2 * rest
    return quotient + (twice > unit or (twice == unit and quotient % 2 == 1))


def apportion(total: int, exact: Sequence[int], unit: int) -> list[int]:
    """Divide a total into parts that are its exact parts rounded down or up.

    What is left after rounding down goes, one each, to the parts with the largest remainders; of equal ones to the
    earlier.

    Args:
        total: the sum of the exact parts, rounded somehow.
        exact: the exact parts, counted in ``1 / unit`` of what the total counts.
        unit: how many of what the parts count make one of what the total counts.

    Raises:
        ValueError: if the total is further from the sum of the parts than rounding takes it.
    """
    parts = [part // unit for part in exact]
    left = total - sum(parts)
    if not 0 <= left <= len(parts) or abs(total * unit - sum(exact)) >= unit:
        raise ValueError(f"{total} is not the rounded sum of the parts, which is {sum(exact)}/{unit}.")
    by_remainder = sorted(range(len(exact)), key=lambda number: -(exact[number] % unit))
    for number in by_remainder[:left]:
        parts[number] += 1
    return parts
