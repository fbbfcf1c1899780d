"""The OpenAPI document of the endpoints as they are, the file that is served, and whether an answer is as it says.

``python tests/support/openapi.py`` writes the file anew.
"""

from __future__ import annotations

import json
import re
import tempfile
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator

from p402.collector.api.endpoint import Endpoint, described_by
from p402.collector.api.openapi import document
from p402.collector.settings import load_settings
from p402.collector.wiring import build

__all__ = ["FILE", "Contract", "contract_of", "endpoints_of", "undescribed", "written"]

FILE = Path(__file__).parents[2] / "collector" / "src" / "p402" / "collector" / "api" / "openapi.json"


class Contract:
    """What a document promises of answers."""

    def __init__(self, promised: dict[str, Any]) -> None:
        self.document: dict[str, Any] = _strict(promised)
        self._validators: dict[tuple[str, str, int, str], Draft202012Validator] = {}

    def operation_at(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """The template of a path, and the operation that a request is; None if there is none."""
        for pattern, template in self._paths:
            operation = self.document["paths"][template].get(method.lower())
            if operation is not None and pattern.fullmatch(path):
                return template, operation
        return None

    def check(self, method: str, path: str, status: int, media_type: str, body: bytes) -> None:
        """Fail unless an answer is one that the document describes."""
        found = self.operation_at(method, path)
        if found is None:
            assert status in (403, 404, 405), f"{method} {path} is not in the document, but was answered with {status}"
            return
        template, operation = found
        if status in (405, 500):  # another method of this path; a fault that a test provokes
            return
        told = f"{method} {template} does not say that it answers {status}"
        assert str(status) in operation["responses"], f"{told}: {body!r}"
        if not body:  # 304, and messages of protobuf that say nothing
            return
        answer = operation["responses"][str(status)]
        if "$ref" in answer:
            answer = self.document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        content = answer.get("content", {})
        assert media_type in content, f"{told} as {media_type}"
        if media_type in ("application/json", "application/problem+json") and "schema" in content[media_type]:
            key = (method, template, status, media_type)
            if key not in self._validators:
                schema = {**content[media_type]["schema"], "components": self.document["components"]}
                self._validators[key] = Draft202012Validator(schema)
            self._validators[key].validate(json.loads(body))

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], str]]:
        """The paths, those with fewer parameters first."""
        paths = sorted(self.document["paths"], key=lambda path: path.count("{"))
        return [(re.compile("[^/]+".join(map(re.escape, re.split(r"\{\w+\}", path)))), path) for path in paths]


def _strict(value: Any) -> Any:
    """Refuse members that a schema does not name: clients should ignore them, tests should not."""
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if not isinstance(value, dict):
        return value
    told = {name: _strict(item) for name, item in value.items()}
    if isinstance(told.get("properties"), dict) and told.get("type") == "object":
        told.setdefault("additionalProperties", False)
    return told


_CONTRACTS: dict[tuple[str, ...], Contract] = {}


def contract_of(app: web.Application) -> Contract:
    """What an application promises; applications with the same endpoints share one."""
    endpoints = endpoints_of(app)
    key = tuple(f"{described.method} {described.path}" for described in endpoints)
    if key not in _CONTRACTS:
        _CONTRACTS[key] = Contract(document(endpoints, "0"))
    return _CONTRACTS[key]


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
    whole = document(endpoints_of(app), version("p402-collector"))
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(written(build(load_settings(data_dir=Path(folder))).app))
