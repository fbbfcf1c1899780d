"""Stops `pip install -e .` at the root: it would silently replace the four editable installs by copies."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RefuseEditable(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            raise SystemExit("The root is not installed in editable mode. For development run: make install")
