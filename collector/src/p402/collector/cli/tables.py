"""Tables as commands print them."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

__all__ = ["print_table"]

_WIDE = 2_000  # columns, for another program that reads this


def print_table(table: Table) -> None:
    """Print a table: as wide as the terminal, and without breaking lines for another program."""
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)
