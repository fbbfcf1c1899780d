"""``p402 reconcile``: a provider's invoice beside the ledger."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from p402.collector.cli.documents import DocumentInvalid
from p402.collector.cli.remote import add_options, remote_of
from p402.vocabulary import Level

__all__ = ["add_to"]

_REASONS = {
    "unmetered": "billed, not metered: calls that went past the instrumentation",
    "not_billed": "metered, not billed: failed or free calls, estimates that were too high",
    "price": "another price than our book's: a negotiated rate, a tier",
    "unpriced": "calls that the ledger has without a price",
    "credits": "credits and discounts of the provider",
    "other_services": "billed, but not by the token: searches, storage",
    "rounding": "no more than the last digits make up",
    "unexplained": "costs without tokens: add the provider's usage export to tell price from volume",
}
_MOST_ROWS = 30

_EPILOG = """\
what can be compared
  OpenAI     pages of /v1/organization/usage/completions and /v1/organization/costs (JSON, all pages), or the CSV files of the usage page
  Anthropic  pages of /v1/organizations/usage_report/messages and /v1/organizations/cost_report, or the CSV files of the console
  Google     rows of the BigQuery usage cost table (JSON), or the CSV of the cost table

example
  p402 reconcile --period 2026-10 usage.json costs.json --pays proj_legal=department:legal
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "reconcile",
        help="compare a provider's invoice or usage export with the ledger, and explain the difference",
        description="Compare a provider's exports with the ledger by day, model and key, and explain each difference. The files are\n"
        "read and hashed, not kept.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="exports of one provider: usage, costs, or both"
    )
    parser.add_argument("--period", metavar="MONTH", help="such as 2026-10 (default: from the first line to the last)")
    parser.add_argument(
        "--pays",
        action="append",
        default=[],
        metavar="KEY=LEVEL:ID",
        help="one of the provider's keys, projects or workspaces, and the part of the tree whose calls it pays for; may be repeated",
    )
    add_options(parser)
    parser.set_defaults(run=_reconcile)


def _reconcile(parsed: argparse.Namespace) -> int:
    body = {
        "documents": [{"name": file.name, "content": _read(file)} for file in parsed.files],
        "period": parsed.period,
        "keys": _parts(parsed.pays),
    }
    console = Console()
    with console.status("Comparing …"):
        made = remote_of(parsed).ask("POST", "/v1/reconciliations", body)
    _show(console, made)
    return 0


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DocumentInvalid(f"{file} cannot be read: {error}.") from error


def _parts(pays: Sequence[str]) -> dict[str, dict[str, str]]:
    levels = [level.value for level in (Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE)]
    parts: dict[str, dict[str, str]] = {}
    for said in pays:
        key, _, node = said.partition("=")
        level, _, name = node.partition(":")
        if not (key and name and level in levels):
            raise DocumentInvalid(f"--pays takes KEY=LEVEL:ID with one of {', '.join(levels)}; got {said!r}.")
        parts.setdefault(key, {})[level] = name
    return parts


def _show(console: Console, made: Mapping[str, Any]) -> None:
    totals = made["totals"]
    console.print(
        f"{made['provider']}, {made['from_day']} to {made['to_day']} ({made['time_zone']}): "
        f"{made['reconciliation_id']}",
        highlight=False,
    )
    summary = Table(box=None, show_header=False)
    summary.add_column()
    summary.add_column(justify="right", no_wrap=True)
    summary.add_column()
    summary.add_row("invoice", _usd(totals["invoice_usd"]), "")
    summary.add_row("ledger", _usd(totals["ledger_usd"]), f"{totals['charges']:,} charges")
    summary.add_row("difference", _usd(totals["difference_usd"]), "")
    for reason, amount in totals["reasons"].items():
        summary.add_row(f"  {reason}", _usd(amount), _REASONS[reason])
    console.print(summary)
    rows = [row for row in made["rows"] if set(row["reasons"]) - {"rounding"}]
    rows.sort(key=lambda row: -max(abs(Decimal(amount)) for amount in row["reasons"].values()))
    if not rows:
        console.print("Every day and model agrees to the last digit that the invoice has.")
        return
    table = Table("row", "day", "model", "key", box=None)
    for name in ("invoice", "ledger", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("mostly")
    for row in rows[:_MOST_ROWS]:
        invoice, ledger = row["invoice"] or {}, row["ledger"] or {}
        mostly = max(row["reasons"], key=lambda reason: abs(Decimal(row["reasons"][reason])))
        table.add_row(
            str(row["row"]),
            row["day"],
            row["model"] or "all",
            row["key"] or "",
            _usd(invoice.get("cost_usd")),
            _usd(ledger.get("cost_usd")),
            _usd(row["difference_usd"]),
            mostly,
        )
    console.print(table)
    if len(rows) > _MOST_ROWS:
        console.print(
            f"… and {len(rows) - _MOST_ROWS} more: GET /v1/reconciliations/{made['reconciliation_id']}?differing=true"
        )
    console.print(
        f"The calls behind a row: GET /v1/reconciliations/{made['reconciliation_id']}/charges?row=N", highlight=False
    )


def _usd(amount: str | None) -> str:
    return "–" if amount is None else f"${amount}"
