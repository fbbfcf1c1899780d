"""What an administrator does to a running collector, over its API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from support.collector import RunningCollector, eventually

_CLIENT = httpx.Client(timeout=30, verify=False)


@dataclass(frozen=True)
class Control:
    """The control API of one organisation, with the admin key that a first start prints."""

    url: str
    key: str
    organisation: str = "acme"

    def put_budget(self, name: str, definition: Mapping[str, Any]) -> Any:
        return self._send("PUT", f"/v1/budgets/{name}", definition)

    def put_policy(self, department: str, definition: Mapping[str, Any]) -> Any:
        return self._send("PUT", f"/v1/policies/{department}", definition)

    def put_directory(self, *people: Mapping[str, Any]) -> Any:
        """Import SCIM users."""
        return self._send("PUT", "/v1/directory", {"Resources": people})

    def get(self, path: str, **query: Any) -> Any:
        return self._send("GET", path, None, **query)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = _CLIENT.request(
            method, self.url + path, json=body, headers=headers, params={"organisation": self.organisation, **query}
        )
        assert answer.is_success, f"{answer.status_code}: {answer.text}"
        return answer.json() if answer.content else None


def control_of(collector: RunningCollector) -> Control:
    """Find the admin key in the log of a collector's first start."""
    log = collector.data_dir / "collector.log"
    found = eventually(lambda: re.search(r"keep it: (p402_\S+)", log.read_text()))
    return Control(collector.url, found[1])
