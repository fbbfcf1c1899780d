"""The OpenAPI document of the endpoints as they are, and the file that is served.

``python tests/support/openapi.py`` writes the file anew.
"""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiohttp import web

from p402.collector.api.endpoint import Endpoint, described_by
from p402.collector.api.openapi import document
from p402.collector.settings import load_settings
from p402.collector.wiring import build

__all__ = ["FILE", "endpoints_of", "undescribed", "written"]

FILE = Path(__file__).parents[2] / "collector" / "src" / "p402" / "collector" / "api" / "openapi.json"


def endpoints_of(app: web.Application) -> list[Endpoint]:
    """The descriptions of what an application serves, in the order of its routes."""
    found = [described_by(route.handler) for route in app.router.routes()]
    return [described for described in found if described is not None]


def undescribed(app: web.Application) -> set[str]:
    """The routes that nobody described."""
    return {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and described_by(route.handler) is None
    }


def written(app: web.Application) -> str:
    """The document, as the file has it."""
    whole: dict[str, Any] = document(endpoints_of(app), version("p402-collector"))
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(written(build(load_settings(data_dir=Path(folder))).app))
