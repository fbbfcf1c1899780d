"""``p402 top``: spend as it happens, in the terminal."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from p402.collector.cli.remote import Remote, add_options, remote_of
from p402.collector.cli.spend import tokens
from p402.vocabulary import Level, Transient, rfc3339

__all__ = ["add_to", "screen"]

_LEVELS = [level.value for level in Level if level is not Level.REQUEST]
_ROWS = 20


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "top",
        help="show spend as it happens",
        description="Show what each node of a level spent this hour and today (UTC), and how fast. Ctrl-C ends it.",
    )
    parser.add_argument(
        "--by", choices=_LEVELS, default=Level.DEPARTMENT.value, help="level of the tree (default: department)"
    )
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="between two looks (default: 2)")
    parser.add_argument("--once", action="store_true", help="print one screen and end")
    add_options(parser)
    parser.set_defaults(run=lambda parsed: _top(remote_of(parsed), parsed))


def _top(remote: Remote, parsed: argparse.Namespace) -> int:
    console = Console()
    before: Mapping[str | None, Decimal] | None = None
    shown, before = _look(remote, parsed.by, before, parsed.every)
    if parsed.once:
        console.print(shown)
        return 0
    with Live(shown, console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            time.sleep(max(parsed.every, 0.2))
            try:
                shown, before = _look(remote, parsed.by, before, parsed.every)
            except Transient as error:  # it may be back at the next look
                shown = Text(str(error), style="red")
            live.update(shown, refresh=True)


def _look(
    remote: Remote, level: str, before: Mapping[str | None, Decimal] | None, seconds: float
) -> tuple[RenderableType, Mapping[str | None, Decimal]]:
    now = datetime.now(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    hour = now.replace(minute=0, second=0, microsecond=0)
    today = remote.get("/v1/spend", level=level, **{"from": rfc3339(day), "to": rfc3339(hour + timedelta(hours=1))})
    this_hour = remote.get(
        "/v1/spend", level=level, **{"from": rfc3339(hour), "to": rfc3339(hour + timedelta(hours=1))}
    )
    spent = {row[level]: Decimal(row["cost_usd"]) for row in today["spend"]}
    return screen(level, today, this_hour, before, seconds, now), spent


def screen(
    level: str,
    today: Mapping[str, Any],
    this_hour: Mapping[str, Any],
    before: Mapping[str | None, Decimal] | None,
    seconds: float,
    now: datetime,
) -> RenderableType:
    """Lay out one look.

    Args:
        level: whose sums.
        today: what ``GET /v1/spend`` answers for today.
        this_hour: the same for this hour.
        before: what each node had spent today at the look before; None at the first.
        seconds: since then.
        now: for the title.
    """
    hourly = {row[level]: row for row in this_hour["spend"]}
    table = Table(
        Column(level, overflow="fold"),
        Column("now, a minute", justify="right", no_wrap=True),
        Column("this hour", justify="right", no_wrap=True),
        Column("today", justify="right", no_wrap=True),
        Column("calls today", justify="right", no_wrap=True),
        Column("tokens today", justify="right", no_wrap=True),
        box=None,
        show_footer=True,
    )
    rows = sorted(today["spend"], key=lambda row: -Decimal(hourly.get(row[level], {"cost_usd": "0"})["cost_usd"]))
    total = speed = hour_total = Decimal(0)
    for place, row in enumerate(rows):
        node, spent = row[level], Decimal(row["cost_usd"])
        last_hour = Decimal(hourly[node]["cost_usd"]) if node in hourly else Decimal(0)
        a_minute = Decimal(0)
        if before is not None:
            a_minute = max(Decimal(0), spent - before.get(node, Decimal(0))) * 60 / Decimal(str(max(seconds, 0.1)))
        total, speed, hour_total = total + spent, speed + a_minute, hour_total + last_hour
        if place < _ROWS:
            table.add_row(
                Text("unattributed", style="italic") if node is None else Text(node),
                Text(f"${a_minute:,.4f}", style="bold green" if a_minute else "dim"),
                f"${last_hour:,.4f}",
                f"${spent:,.4f}",
                f"{row['charges']:,}",
                tokens(row["tokens"]["input"] + row["tokens"]["output"]),
            )
    footers = ["in all", f"${speed:,.4f}", f"${hour_total:,.4f}", f"${total:,.4f}"]
    for column, footer in zip(table.columns, footers, strict=False):
        column.footer = footer
    title = Text(f"{today['organisation']}  {now:%H:%M:%S} UTC", style="bold")
    more = [Text(f"… and {len(rows) - _ROWS} more", style="dim")] if len(rows) > _ROWS else []
    return Group(title, table, *more)
