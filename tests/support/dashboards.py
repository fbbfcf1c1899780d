"""What a dashboard's JSON asks its datasources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Every panel but rows; those inside of rows too."""
    found: list[dict[str, Any]] = []
    for panel in dashboard["panels"]:
        found += panel.get("panels", []) if panel["type"] == "row" else [panel]
    return found


def queries(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Every query of every panel."""
    return [target for panel in panels(dashboard) for target in panel["targets"]]


def expressions(file: Path) -> list[str]:
    """The text of every query."""
    return [target.get("expr") or target["query"] for target in queries(json.loads(file.read_text()))]
