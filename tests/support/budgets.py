"""Budgets put into a collector's database, as its API would."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from p402.collector.budgets.definition import read_definition
from p402.collector.storage.driver import driver
from p402.collector.storage.rule_changes import rules_changed
from support.server import Server

_PUT = (
    "INSERT INTO budgets (organisation, name, definition, made_at, changed_at) VALUES (?, ?, ?, 4102444800000, 0)"
    " ON CONFLICT (organisation, name) WHERE retired_at IS NULL DO UPDATE SET definition = excluded.definition"
)


async def put_budget(server: Server, name: str, definition: Mapping[str, Any], organisation: str = "acme") -> None:
    """Make a budget, or change it."""
    written = json.dumps(read_definition({**definition, "name": name}).to_json())

    def put(connection: Connection) -> None:
        driver(connection).execute(_PUT, (organisation, name, written))
        rules_changed(connection, organisation)

    await server.collector.database.write(put)


def stored_budgets_in(folder: Path, definitions: Mapping[str, Mapping[str, Any]], organisation: str = "acme") -> None:
    """Make budgets in the SQLite file of a collector that runs in another process."""
    database = sqlite3.connect(folder / "p402.sqlite3", timeout=20)
    with database:
        for name, definition in definitions.items():
            written = json.dumps(read_definition({**definition, "name": name}).to_json())
            database.execute(_PUT, (organisation, name, written))
        database.execute(
            "INSERT INTO rule_versions VALUES (?, 1) ON CONFLICT (organisation) DO UPDATE SET version = version + 1",
            (organisation,),
        )
    database.close()
