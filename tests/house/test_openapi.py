"""The OpenAPI document says what is served, and agrees with the README."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator

from p402.collector.settings import load_settings
from p402.collector.storage.keys import SCOPES
from p402.collector.wiring import build
from support.openapi import FILE, endpoints_of, undescribed, written

README = (Path(__file__).parents[2] / "collector" / "README.md").read_text()
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text())


@pytest.fixture
def app(tmp_path: Path) -> web.Application:
    return build(load_settings(data_dir=tmp_path)).app


def test_every_route_is_described(app: web.Application) -> None:
    assert undescribed(app) == set()


def test_the_document_is_the_one_of_the_endpoints(app: web.Application) -> None:
    assert FILE.read_text() == written(app), "python tests/support/openapi.py writes it anew"


def test_the_readme_names_the_scopes_that_endpoints_ask_for(app: web.Application) -> None:
    rows = re.findall(r"^\| `(?:GET|POST|PUT|DELETE) \S+` \| .*", README, re.MULTILINE)
    named = {row.split("`")[1]: set(re.findall(r"`([^`]+)`", row.split(" | ")[1])) for row in rows}
    asked = {f"{one.method} {one.path}": set((one.scope or "").split()) for one in endpoints_of(app)}
    assert {route: named[route] for route in asked} == asked
    assert set().union(*asked.values()) <= set(SCOPES)


def examples(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every schema that has an example beside it, with the example."""
    if isinstance(value, dict):
        if "schema" in value and "example" in value:
            yield value["schema"], value["example"]
        for item in value.values():
            yield from examples(item)
    elif isinstance(value, list):
        for item in value:
            yield from examples(item)


def test_every_example_is_of_its_schema() -> None:
    found = list(examples(DOCUMENT["paths"]))
    assert len(found) > 20
    for schema, example in found:
        Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(example)
