"""``p402 holds``: see, place and release legal holds of a running collector."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from rich.table import Column, Table
from rich.text import Text

from p402.collector.cli.remote import Remote, add_options, remote_of
from p402.collector.cli.tables import print_table

__all__ = ["add_to"]

_SCOPE = ("department", "project", "client", "employee", "session")


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("holds", help="see, place and release legal holds")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show legal holds, the newest first")
    listing.add_argument("--all", action="store_true", help="the released ones too")
    listing.set_defaults(run=lambda parsed: _list(remote_of(parsed), parsed))
    place = actions.add_parser("place", help="keep what fits a scope from erasure and retention")
    place.add_argument("matter", help="id of the legal matter")
    for level in _SCOPE:
        place.add_argument(f"--{level}", metavar="ID", help=f"only of this {level}")
    place.add_argument(
        "--from", dest="begin", metavar="TIME", help="such as 2026-01-01T00:00:00Z; default: all there is"
    )
    place.add_argument("--to", dest="end", metavar="TIME", help="the first time that is not held; default: no end")
    release = actions.add_parser("release", help="release a hold; what it kept from erasure is erased")
    release.add_argument("hold", help="the id that `p402 holds list` shows")
    for action in (place, release):
        action.add_argument("--by", required=True, metavar="ID", help="who decided so")
        action.add_argument("--reason", metavar="TEXT")
    place.set_defaults(run=lambda parsed: _place(remote_of(parsed), parsed))
    release.set_defaults(run=lambda parsed: _release(remote_of(parsed), parsed))
    for action in (listing, place, release):
        add_options(action)


def _list(remote: Remote, parsed: argparse.Namespace) -> int:
    table = Table(Column("id", no_wrap=True), "matter", "state", "scope", "from", "to", "placed")
    for hold in remote.pages("/v1/holds", "holds", state="all" if parsed.all else "active"):
        cells = (hold["hold_id"], hold["matter"], hold["state"], _scope(hold), hold["from"] or "", hold["to"] or "")
        table.add_row(*map(Text, (*cells, hold["placed_at"])))
    print_table(table)
    return 0


def _place(remote: Remote, parsed: argparse.Namespace) -> int:
    scope = {level: value for level in _SCOPE if (value := getattr(parsed, level)) is not None}
    body = {"matter": parsed.matter, "scope": scope, "by": parsed.by, "reason": parsed.reason}
    times = {"from": parsed.begin, "to": parsed.end}
    placed = remote.ask("POST", "/v1/holds", {**body, **{name: at for name, at in times.items() if at is not None}})
    print(f"{placed['hold_id']} holds for {placed['matter']}: {_scope(placed)}")
    return 0


def _release(remote: Remote, parsed: argparse.Namespace) -> int:
    path = f"/v1/holds/{quote(parsed.hold, safe='')}/release"
    released = remote.ask("POST", path, {"by": parsed.by, "reason": parsed.reason})
    print(f"{released['hold_id']} is released")
    return 0


def _scope(hold: dict[str, Any]) -> str:
    found = {level: hold["session_id" if level == "session" else level] for level in _SCOPE}
    said = [f"{level}={value}" for level, value in found.items() if value]
    if hold["names_somebody"] and not (found["employee"] or found["session"]):
        said.append("somebody whose name this key may not see")
    return " ".join(said) or "everything"
