"""``p402 directory``: import people and departments into a running collector, and list them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from p402.collector.cli.documents import DocumentInvalid
from p402.collector.cli.remote import Remote, add_options, remote_of
from p402.collector.cli.tables import print_table
from p402.collector.directory.read import CSV, SCIM
from p402.collector.directory.scim_document import EmployeeFrom

__all__ = ["add_to"]

_EPILOG = """\
documents
  people       CSV with the header employee,display_name,department (and perhaps active: true or false)
  departments  CSV with the header department,display_name
  both         SCIM (RFC 7643): JSON with users and groups, as identity providers export them; a group is a department

Columns may be in any order, files are UTF-8. All of a file is imported, or nothing, with every mistake told by its place. What
the file does not name stays, unless --prune is given. A person's department may be its id or its display name.

examples
  p402 directory import departments.csv
  p402 directory import people.csv --dry-run --prune
  p402 directory import users.json --employee-from externalId
"""
_COUNTS = ("added", "changed", "unchanged", "removed", "kept")


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("directory", help="import people and departments, and list them")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    imports = actions.add_parser(
        "import",
        help="make the directory say what a CSV or SCIM file says",
        description="Make the directory say what a file says, as often as you like: ids get names, and calls that name only their\n"
        "employee are attributed to the employee's department.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    imports.add_argument("file", type=Path, help="CSV or, if it ends in .json, SCIM")
    imports.add_argument("--dry-run", action="store_true", help="show the numbers, change nothing")
    imports.add_argument(
        "--prune", action="store_true", help="remove people, or departments without people, whom the file does not name"
    )
    imports.add_argument(
        "--employee-from",
        choices=[one.value for one in EmployeeFrom],
        default=EmployeeFrom.USER_NAME.value,
        help="the attribute of a SCIM user by which calls name the employee (default: %(default)s)",
    )
    imports.set_defaults(run=lambda parsed: _import(remote_of(parsed), parsed))
    listing = actions.add_parser(
        "list",
        help="list people or departments",
        description="List people or departments. Names of people need a key with the scope receipts:personal, and that they were "
        "read is in the access log.",
    )
    listing.add_argument("what", choices=("people", "departments"))
    listing.add_argument("--department", metavar="ID", help="only the people of this one")
    listing.add_argument("--json", action="store_true", help="one JSON object a line, for programs")
    listing.set_defaults(run=lambda parsed: _list(remote_of(parsed), parsed))
    for action in (imports, listing):
        add_options(action)


def _import(remote: Remote, parsed: argparse.Namespace) -> int:
    try:
        data = parsed.file.read_bytes()
    except OSError as error:
        raise DocumentInvalid(f"{parsed.file} cannot be read: {error}.") from error
    query = {"employee_from": parsed.employee_from}
    query |= {name: "true" for name in ("dry_run", "prune") if getattr(parsed, name)}
    media_type = SCIM if parsed.file.suffix == ".json" else CSV
    answer = remote.ask("PUT", "/v1/directory", data, query=query, headers={"Content-Type": media_type})
    for kind in ("people", "departments"):
        print(f"{'would be: ' if parsed.dry_run else ''}{kind}: {_told(answer[kind])}")
    if answer["departments_made"]:
        print(f"new departments, without names yet: {', '.join(answer['departments_made'])}")
    if answer["erased"]:
        print(f"{answer['erased']} people were erased before, and stay so")
    return 0


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in _COUNTS if counts[name]) or "none"


def _list(remote: Remote, parsed: argparse.Namespace) -> int:
    if parsed.department and parsed.what == "departments":
        raise DocumentInvalid("--department is for the list of people.")
    narrowed = {"department": parsed.department} if parsed.department else {}
    found = remote.pages(f"/v1/directory/{parsed.what}", parsed.what, **narrowed)
    if parsed.json:
        for item in found:
            print(json.dumps(item, ensure_ascii=False))
        return 0
    if parsed.what == "people":
        table = Table(Column("employee", no_wrap=True), "name", "department", "active")
        for item in found:
            _add(table, item["employee"], item["display_name"], item["department"], "yes" if item["active"] else "no")
    else:
        table = Table(Column("department", no_wrap=True), "name", Column("people", justify="right"))
        for item in found:
            _add(table, item["department"], item["display_name"], str(item["people"]))
    print_table(table)
    return 0


def _add(table: Table, *cells: Any) -> None:
    table.add_row(*(Text(cell or "–") for cell in cells))
