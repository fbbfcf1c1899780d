"""``p402 budgets``: see what is left of budgets, apply a file of them, break the glass, let go of lost leases."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from p402.collector.budgets.definition import BudgetInvalid, read_definition
from p402.collector.cli.documents import DocumentInvalid, read_document
from p402.collector.cli.remote import Remote, add_options, remote_of
from p402.collector.cli.tables import print_table
from p402.vocabulary import Level, rfc3339

__all__ = ["add_to"]

_BAR = 20  # characters
_KINDS = ("created", "changed", "retired", "unchanged")


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("budgets", help="see, change and break open budgets")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show budgets and how much of them is used")
    listing.add_argument("--node", metavar="ID", help="only this node of every budget")
    listing.set_defaults(run=lambda parsed: _list(remote_of(parsed), parsed.node))
    show = actions.add_parser("show", help="print a budget with the balances of its nodes as JSON")
    show.add_argument("name")
    show.set_defaults(run=lambda parsed: _show(remote_of(parsed), parsed.name))
    apply = actions.add_parser(
        "apply",
        help="make the budgets of a file the ones in force",
        description="Make the budgets of a YAML or TOML file the ones in force, as often as you like: what is as it shall "
        "be stays untouched, and so do budgets that the file does not name, unless --prune is given.",
    )
    apply.add_argument("file", type=Path, help="`budgets:` with a budget by each name")
    apply.add_argument("--dry-run", action="store_true", help="show the difference, change nothing")
    apply.add_argument("--prune", action="store_true", help="take budgets out of force that the file does not name")
    apply.set_defaults(run=lambda parsed: _apply(remote_of(parsed), parsed))
    override = actions.add_parser("override", help="allow more than a cap for a while; who and why is kept")
    override.add_argument("name")
    override.add_argument("amount", help="how much more: USD, or a whole number by the budget's measure")
    override.add_argument("--owner", required=True, help="who answers for it")
    override.add_argument("--reason", required=True)
    override.add_argument("--hours", type=float, default=24.0, help="how long (default: 24)")
    override.set_defaults(run=lambda parsed: _override(remote_of(parsed), parsed))
    leases = actions.add_parser("leases", help="show who holds money, and what was never settled")
    leases.add_argument("--state", choices=("open", "unreconciled", "closed"), help="(default: open and unreconciled)")
    leases.set_defaults(run=lambda parsed: _leases(remote_of(parsed), parsed.state))
    release = actions.add_parser("release", help="let go of what a lease never settled; who and why is kept")
    release.add_argument("lease", help="the id that `p402 budgets leases` shows")
    release.add_argument("--reason", required=True)
    release.set_defaults(run=lambda parsed: _release(remote_of(parsed), parsed.lease, parsed.reason))
    for action in (listing, show, apply, override, leases, release):
        add_options(action)


def _list(remote: Remote, node: str | None) -> int:
    narrowed = {"node": node} if node else {}
    table = Table(Column("budget", no_wrap=True), "period", "node", "used", "", "spent", "held", "cap", "mode")
    for budget in remote.pages("/v1/budgets", "budgets", **narrowed):
        ceiling = budget["level"] == Level.REQUEST
        period = "each call" if ceiling else " ".join(filter(None, (budget["period"], budget["length"])))
        cap = _amount(budget["measure"], budget["cap_in_force"])
        if not budget["nodes"]:
            table.add_row(*map(Text, (budget["name"], period, budget["node"], "", "", "", "", cap, budget["mode"])))
        for at in budget["nodes"]:
            pending = str(Decimal(at["held"]) + Decimal(at["unreconciled"]))
            taken = Decimal(at["spent"]) + Decimal(pending)
            share = taken / Decimal(budget["cap_in_force"]) if Decimal(budget["cap_in_force"]) else Decimal(1)
            bar = ProgressBar(
                total=1.0, completed=min(1.0, float(share)), width=_BAR, complete_style=_colour(budget, share)
            )
            amounts = (_amount(budget["measure"], at["spent"]), _amount(budget["measure"], pending), cap)
            cells = (f"{share:.0%}", *amounts, budget["mode"])
            table.add_row(*map(Text, (budget["name"], period, at["node"])), bar, *map(Text, cells))
    print_table(table)
    return 0


def _show(remote: Remote, name: str) -> int:
    print(json.dumps(remote.get(_path(name)), indent=2, ensure_ascii=False))
    return 0


def _apply(remote: Remote, parsed: argparse.Namespace) -> int:
    wanted = _definitions(parsed.file)
    body = {"budgets": wanted, "dry_run": parsed.dry_run, "prune": parsed.prune}
    answer = remote.ask("POST", "/v1/budgets/apply", body)
    table = Table(Column("budget", no_wrap=True), "change", "field", "before", "after")
    for kind in _KINDS[:-1]:
        for change in answer[kind]:
            rows = list(_rows(change)) or [("", "", "")]
            for number, row in enumerate(rows):
                table.add_row(*map(Text, ((change["name"], kind) if number == 0 else ("", "")) + row))
    if table.row_count:
        print_table(table)
    counts = ", ".join(f"{len(answer[kind])} {kind}" for kind in _KINDS)
    print(f"{'This would be: ' if parsed.dry_run else ''}{counts}")
    return 0


def _definitions(file: Path) -> list[dict[str, Any]]:
    """Check all that a file says before anything is sent."""
    document = read_document(file)
    budgets = document.get("budgets")
    if unknown := sorted(set(document) - {"budgets"}):
        raise DocumentInvalid(f"{file} may have budgets and nothing else; got {', '.join(map(str, unknown))}.")
    if not isinstance(budgets, Mapping):
        raise DocumentInvalid(f"{file} must have budgets: a budget by the name of each.")
    found, problems = [], []
    for name, budget in budgets.items():
        written = {**budget, "name": str(name)} if isinstance(budget, Mapping) else {"name": str(name)}
        try:
            found.append(read_definition(written).to_json())
        except BudgetInvalid as error:
            problems.append(str(error))
    if problems:
        raise DocumentInvalid(f"{file}: " + " ".join(problems))
    return found


def _override(remote: Remote, parsed: argparse.Namespace) -> int:
    until = datetime.now(UTC) + timedelta(hours=parsed.hours)
    body = {"amount": parsed.amount, "owner": parsed.owner, "reason": parsed.reason, "expires_at": rfc3339(until)}
    made = remote.ask("POST", f"{_path(parsed.name)}/overrides", body)
    print(f"{parsed.name}: {made['amount']} more until {made['expires_at']} ({made['id']})")
    return 0


def _leases(remote: Remote, state: str | None) -> int:
    table = Table(Column("id", no_wrap=True), "state", "kind", "for", "holds", "calls", "expires")
    for lease in remote.pages("/v1/leases", "leases", **({"state": state} if state else {})):
        who = " ".join(f"{level}={lease[level]}" for level in _LEVELS if lease[level])
        holds = ", ".join(f"{hold['budget']}: {hold['remaining']}" for hold in lease["holds"])
        cells = (lease["id"], lease["state"], lease["kind"], who, holds, str(lease["calls"]), lease["expires_at"])
        table.add_row(*map(Text, cells))
    print_table(table)
    return 0


_LEVELS = ("department", "project", "client", "employee", "session")


def _release(remote: Remote, lease_id: str, reason: str) -> int:
    released = remote.ask("POST", f"/v1/leases/{quote(lease_id, safe='')}/release", {"reason": reason})
    print(f"{released['id']} is {released['state']}")
    return 0


def _rows(change: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for field, values in change["differences"].items():
        yield field, _written(values["before"]), _written(values["after"])
    if change["fresh_accounts"]:
        yield "", "", "counts anew, from the ledger"


def _written(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return "–" if value is None else str(value)


def _amount(measure: str, amount: str) -> str:
    return f"${Decimal(amount):,.2f}" if measure == "cost" else f"{Decimal(amount):,} {measure}"


def _colour(budget: dict[str, Any], share: Decimal) -> str:
    if share >= 1:
        return "red"
    return "yellow" if share * 100 >= min(budget["warn_at"], default=100) else "green"


def _path(name: str) -> str:
    return f"/v1/budgets/{quote(name, safe='')}"
