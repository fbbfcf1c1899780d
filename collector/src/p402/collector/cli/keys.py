"""``p402 keys``: make, list and revoke API keys."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable

from rich.table import Column, Table
from rich.text import Text

from p402.collector.cli.database import opened
from p402.collector.cli.tables import print_table
from p402.collector.settings import load_settings
from p402.collector.storage.keys import SCOPES, Keys
from p402.vocabulary import Attribution, Level, SystemClock, new_id, rfc3339

__all__ = ["add_to"]

_BOUND = (Level.ORGANISATION, Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE)


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("keys", help="make, list and revoke API keys")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key; its secret is printed once")
    create.add_argument("name", help="what the key is for")
    create.add_argument(
        "--scope", action="append", required=True, choices=SCOPES, help="what it may do; give it once for each scope"
    )
    for level in _BOUND:
        create.add_argument(f"--{level.value}", metavar="ID", help=f"bind the key to one {level.value}")
    create.set_defaults(run=lambda parsed: _with_keys(lambda keys: _create(keys, parsed)))
    actions.add_parser("list", help="show all keys").set_defaults(run=lambda _: _with_keys(_list))
    revoke = actions.add_parser("revoke", help="make a key useless from now on")
    revoke.add_argument("id", help="the id that `p402 keys list` shows")
    revoke.set_defaults(run=lambda parsed: _with_keys(lambda keys: keys.revoke(parsed.id, SystemClock().now())))


def _with_keys(action: Callable[[Keys], Awaitable[None]]) -> int:
    async def run() -> None:
        async with opened(load_settings()) as database:
            await action(Keys(database, new_id))

    asyncio.run(run())
    return 0


async def _create(keys: Keys, parsed: argparse.Namespace) -> None:
    bound_to = Attribution(**{level.value: getattr(parsed, level.value) for level in _BOUND})
    key, secret = await keys.create(parsed.name, frozenset(parsed.scope), bound_to, SystemClock().now())
    print(f"{key.id}: this secret is shown only now; keep it:\n{secret}")


async def _list(keys: Keys) -> None:
    table = Table(Column("id", no_wrap=True), "name", "scopes", "bound to", "created", "revoked")
    for key in await keys.list():
        bound = " ".join(f"{level.value}={value}" for level, value in key.bound_to if value)
        revoked = rfc3339(key.revoked_at) if key.revoked_at else ""
        cells = (key.id, key.name, " ".join(sorted(key.scopes)), bound, rfc3339(key.created_at), revoked)
        table.add_row(*map(Text, cells))  # Text: brackets in a name are no markup
    print_table(table)
