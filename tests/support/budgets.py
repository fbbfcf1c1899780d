"""Budgets put into a collector's database, as its API would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from p402.collector.budgets.definition import read_definition
from p402.collector.storage.driver import driver
from p402.collector.storage.rule_changes import rules_changed
from support.server import Server

_PUT = (
    "INSERT INTO budgets (organisation, name, definition, changed_at) VALUES (?, ?, ?, 0)"
    " ON CONFLICT (organisation, name) DO UPDATE SET definition = excluded.definition"
)


async def put_budget(server: Server, name: str, definition: Mapping[str, Any], organisation: str = "acme") -> None:
    """Make a budget, or change it."""
    written = json.dumps(read_definition({**definition, "name": name}).to_json())

    def put(connection: Connection) -> None:
        driver(connection).execute(_PUT, (organisation, name, written))
        rules_changed(connection, organisation)

    await server.collector.database.write(put)
