"""schemathesis asks a running collector what its OpenAPI document allows, and much that it does not.

No answer is a 5xx, and each is one that the document describes; what the document forbids is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.collector import RunningCollector, eventually, running_collector
from support.control import Control, control_of
from support.databases import POSTGRESQL, SQLITE, using
from support.otlp import ASpan, request_of

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "ignored_auth",
)
SETTINGS = {"P402_REQUIRE_KEY": "true", "P402_DEFAULT_ORGANISATION": "acme"}
LEFT_OUT = (
    "get_v1_feedback_stream",  # these two never end
    "get_live",
    "delete_v1_keys_key",  # revokes its own key
    "post_sign_in",  # no key that is made up signs anybody in
)
REFUSED = "only 401/403 responses"
"""What schemathesis says of endpoints that a key cannot use."""


def findings(
    collector: RunningCollector, key: str, phases: str, examples: int, values: Mapping[str, str] | None = None
) -> str:
    """What schemathesis says after a run, which finds nothing; path parameters may have the values of what there is."""
    configuration = collector.data_dir / "schemathesis.toml"
    lines = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in (values or {}).items()]
    configuration.write_text("\n".join(["[parameters]", *lines]))
    command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(configuration), "run"]
    options: Sequence[str] = (
        *("--header", f"Authorization: Bearer {key}", "--phases", phases, "--max-examples", str(examples)),
        *("--checks", ",".join(CHECKS), "--generation-deterministic"),
        *(part for operation in LEFT_OUT for part in ("--exclude-operation-id", operation)),
    )
    ran = subprocess.run(
        [*command, f"{collector.url}/openapi.json", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=collector.data_dir,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2_000:]
    return ran.stdout


def with_something_of_everything(collector: RunningCollector, control: Control) -> dict[str, str]:
    """Ids by the name of the path parameter."""
    admin = {"Authorization": f"Bearer {control.key}"}
    assert collector.export(request_of([ASpan()]), **admin).status_code == 200
    control.post("/v1/sessions/review-7/close", {})
    [receipt] = eventually(lambda: control.get("/v1/receipts")["receipts"])
    control.put_budget("legal-month", {"level": "department", "node": "legal", "cap": "100.00"})
    control.put_policy("legal", {"strategy": "cost-first"})
    question: dict[str, Any] = {
        "question": {"provider": "anthropic", "model": "claude-opus-4-5", "department": "legal"}
    }
    hold = control.post("/v1/holds", {"matter": "doe-v-acme", "by": "counsel", "scope": {"department": "legal"}})
    return {
        "receipt_id": receipt["receipt_id"],
        "session": "review-7",
        "department": "legal",
        "name": "legal-month",
        "lease": control.post("/v1/leases", question)["lease"]["id"],
        "decision": control.post("/v1/decisions", question)["id"],
        "hold_id": hold["hold_id"],
        "period": "2026-05",
        "organisation": "acme",
    }


@pytest.mark.timeout(400)
def test_no_request_of_an_administrator_is_answered_otherwise_than_documented(tmp_path: Path) -> None:
    with using(POSTGRESQL), running_collector(tmp_path / "books", SETTINGS) as collector:
        control = control_of(collector)
        values = with_something_of_everything(collector, control)
        assert REFUSED not in findings(collector, control.key, "examples,coverage", 1, values)


@pytest.mark.timeout(400)
def test_nor_one_about_what_is_not_there(tmp_path: Path) -> None:
    with using(SQLITE), running_collector(tmp_path / "books", SETTINGS) as collector:
        assert REFUSED not in findings(collector, control_of(collector).key, "fuzzing", 3)


@pytest.mark.timeout(400)
def test_nor_one_of_a_reader_who_is_bound_to_a_department(tmp_path: Path) -> None:
    with using(SQLITE), running_collector(tmp_path / "books", SETTINGS) as collector:
        control = control_of(collector)
        values = with_something_of_everything(collector, control)
        bound = {"name": "reader", "scopes": ["spend:read", "receipts:read"], "department": "legal"}
        key = control.post("/v1/keys", {**bound, "organisation": "acme"})["secret"]
        found = findings(collector, key, "fuzzing", 2, values)
        assert REFUSED in found
        assert "- GET /v1/charges" not in found
