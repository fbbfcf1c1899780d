"""CSV as RFC 4180 has it, in UTF-8, and safe to open in a spreadsheet.

A spreadsheet takes a cell that begins with ``= + - @``, a tab or a line break for a formula, and names in our records come
from outside. Such text gets an apostrophe in front, which spreadsheets read as "this is text". So does what follows a
semicolon or a tab in a text: where decimals have commas, cells begin there. Numbers are ours and stay as they are, with a
point for the decimals and no exponent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from p402.vocabulary import Money, rfc3339

__all__ = ["Cell", "csv_line", "csv_lines"]

Cell = str | int | Decimal | Money | datetime | None
"""What a cell may hold; None is an empty one."""

_BEGINS_FORMULA = re.compile(r"(?:^|(?<=[;\t]))(?=[=+\-@\t\r\n])")
_NEEDS_QUOTES = frozenset(',"\r\n')


def csv_line(cells: Iterable[Cell]) -> bytes:
    """Write one line, ended by CR LF."""
    return (",".join(map(_written, cells)) + "\r\n").encode("utf-8", errors="backslashreplace")


def csv_lines(rows: Iterable[Iterable[Cell]]) -> bytes:
    """Write several lines."""
    return b"".join(map(csv_line, rows))


def _written(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            text = _BEGINS_FORMULA.sub("'", cell)
            return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.intersection(text) else text
        case Decimal():
            return f"{cell:f}"
        case datetime():
            return rfc3339(cell)
        case _:
            return str(cell)
