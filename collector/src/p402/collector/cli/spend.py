"""``p402 spend``: who spent how much in a period, as a table with bars."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from p402.collector.cli.documents import DocumentInvalid
from p402.collector.cli.remote import Remote, add_options, remote_of
from p402.vocabulary import Level, rfc3339

__all__ = ["add_to", "spend_table", "tokens"]

_LEVELS = [level.value for level in Level if level is not Level.REQUEST]
_BAR = 16  # characters
_SMALL_USD = Decimal("0.10")
"""Where less than this was spent in all, cents tell nothing: so after the first calls of somebody who tries this."""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "spend",
        help="show who spent how much in a month or another period",
        description="Show what each node of a level spent, the dearest first. Days are counted in UTC, by the hour.",
        epilog="example: p402 spend --by project --month 2026-10",
    )
    parser.add_argument(
        "--by", choices=_LEVELS, default=Level.DEPARTMENT.value, help="level of the tree (default: department)"
    )
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--month", nargs="?", const="", metavar="2026-10", help="a month (default: this one)")
    when.add_argument("--from", dest="begin", metavar="TIME", help="such as 2026-10-01T00:00:00Z")
    parser.add_argument("--to", dest="end", metavar="TIME", help="not included (default: now)")
    parser.add_argument("--top", type=int, default=25, metavar="N", help="rows at most (default: 25)")
    parser.add_argument("--json", action="store_true", help="print what the API answers")
    add_options(parser)
    parser.set_defaults(run=lambda parsed: _spend(remote_of(parsed), parsed))


def _spend(remote: Remote, parsed: argparse.Namespace) -> int:
    answer = remote.get("/v1/spend", level=parsed.by, **_period(parsed))
    if parsed.json:
        print(json.dumps(answer, indent=2))
        return 0
    console = Console()
    console.print(f"{answer['organisation']}, {answer['from']} to {answer['to']}", highlight=False)
    if not answer["spend"]:
        console.print(
            f"Nothing was spent by {answer['organisation']!r} then. --organisation asks for another one's spend; `p402 doctor` "
            "says whether spans can arrive.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        return 0
    console.print(spend_table(answer, parsed.by, parsed.top))
    return 0


def spend_table(answer: Mapping[str, Any], level: str, top: int) -> Table:
    """Lay out what ``GET /v1/spend`` answers; the rows that are left out are one."""
    total = sum((Decimal(row["cost_usd"]) for row in answer["spend"]), Decimal(0))
    table = Table(
        Column(level, overflow="fold", min_width=len(level)),
        Column("spend", justify="right", no_wrap=True),
        Column("share", justify="right", no_wrap=True),
        Column("", no_wrap=True, min_width=_BAR),
        Column("calls", justify="right", no_wrap=True),
        Column("tokens in", justify="right", no_wrap=True),
        Column("out", justify="right", no_wrap=True),
        box=None,
        show_footer=True,
    )
    rows: Sequence[Mapping[str, Any]] = answer["spend"]
    shown = [(_name(row[level]), [row]) for row in rows[:top]]
    if len(rows) > top:
        shown.append((Text(f"{len(rows) - top} more", style="dim"), list(rows[top:])))
    for name, together in shown:
        table.add_row(name, *_cells(together, total))
    unpriced = sum(row["unpriced_charges"] for row in rows)
    foot = Text("in all") if not unpriced else Text(f"in all, without {unpriced:,} unpriced calls")
    for column, cell in zip(table.columns, [foot, *_cells(rows, total)], strict=True):
        column.footer = "" if isinstance(cell, ProgressBar) else cell
    return table


def tokens(count: int) -> str:
    """Write a count shortly: ``9,999``, ``12.3k``, ``4.56M``."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size and count >= 10_000:  # noqa: PLR2004 - four digits are short enough
            return f"{count / size:.3g}{unit}"
    return f"{count:,}"


def _cells(rows: Sequence[Mapping[str, Any]], total: Decimal) -> list[str | ProgressBar]:
    cost = sum((Decimal(row["cost_usd"]) for row in rows), Decimal(0))
    share = cost / total * 100 if total else Decimal(0)
    return [
        f"${cost:,.2f}" if not total or total >= _SMALL_USD else f"${cost:,.6f}",
        f"{share:.1f} %",
        ProgressBar(total=100, completed=float(share), width=_BAR),
        f"{sum(row['charges'] for row in rows):,}",
        tokens(sum(row["tokens"]["input"] for row in rows)),
        tokens(sum(row["tokens"]["output"] for row in rows)),
    ]


def _name(node: str | None) -> Text:
    return Text("unattributed", style="italic") if node is None else Text(node)


def _period(parsed: argparse.Namespace) -> dict[str, str]:
    asked = {"from": parsed.begin, "to": parsed.end}
    if parsed.month:
        try:
            begin = datetime.strptime(parsed.month, "%Y-%m").replace(tzinfo=UTC)
        except ValueError as error:
            raise DocumentInvalid(f"--month takes a month such as 2026-10; got {parsed.month!r}.") from error
        following = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
        asked = {"from": rfc3339(begin), "to": rfc3339(following)}
    return {name: value for name, value in asked.items() if value is not None}
