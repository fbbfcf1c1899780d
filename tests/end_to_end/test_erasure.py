"""Erasing a person from a running collector: gone from every table, answer, file and restored backup; proofs still verify.

Real: the collector as a process, its commands, p402-verify. The person's names are seeded at every level that can hold them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from p402.vocabulary import rfc3339
from support.collector import RunningCollector, eventually, running_collector
from support.control import Control, control_of
from support.databases import POSTGRESQL, SQLITE, kept_in, using
from support.otlp import ASpan, request_of
from support.personal import files_with, tables_with

pytestmark = pytest.mark.timeout(300)

BIN = Path(sys.executable).parent
EMPLOYEE = "ada.lovelace@example.com"
SESSIONS = ["Ada's chat about Böhm", "ada.2", "ada.late"]
NAMES = [EMPLOYEE, *SESSIONS]
ENDLESS_OR_HOLDING = ("/v1/feedback/stream", "/live", "/v1/authorize")
WHOLE = {"organisation": "acme"}


def call(session: str | None, employee: str | None = EMPLOYEE, **levels: str) -> ASpan:
    named = {f"p402.{level}": value for level, value in levels.items()}
    return ASpan.of({"p402.employee": employee, "p402.session": session, **named})


@dataclass(frozen=True)
class Office:
    """A collector in which Ada has worked for a while."""

    collector: RunningCollector
    control: Control

    def seal(self, *spans: ASpan) -> None:
        """Send spans, and have their sessions sealed."""
        assert self.collector.export(request_of(spans)).status_code == 200
        for name in {str(span.attributes["p402.session"]) for span in spans if "p402.session" in span.attributes}:
            path = f"{self.collector.url}/v1/sessions/{quote(name, safe='')}/close"
            assert httpx.post(path, params=WHOLE).status_code == 202
        eventually(lambda: self.all_sealed() or None)

    def all_sealed(self) -> bool:
        """Whether every call of a named session is in a receipt."""
        query = (
            "SELECT COUNT(*) FROM charges JOIN scopes ON scopes.id = charges.scope_id"
            " LEFT JOIN sessions ON sessions.scope_id = scopes.id WHERE session <> ''"
            " AND (sealed_through_seq IS NULL OR seq > sealed_through_seq)"
        )
        return kept_in(self.collector.data_dir).rows(query) == [(0,)]

    def ask(self, path: str) -> bytes:
        """What somebody is told who may see everything; some paths want to be asked more precisely, or are not there."""
        answer = httpx.get(
            self.collector.url + path, params=WHOLE, headers={"Authorization": f"Bearer {self.control.key}"}
        )
        assert answer.status_code in (200, 400, 404), f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.content

    def all_that_is_told(self) -> bytes:
        """Every document of every endpoint that reads, as the API describes itself."""
        told = []
        for path, operations in json.loads(self.ask("/openapi.json"))["paths"].items():
            if "get" in operations and "{" not in path and path not in ENDLESS_OR_HOLDING:
                told.append(self.ask(path))
        told += [self.ask(f"/v1/spend?level={level}") for level in ("employee", "session")]
        for receipt in self.receipts():
            base = f"/v1/receipts/{receipt['receipt_id']}"
            told += [self.ask(base + suffix) for suffix in ("", ".json", "/body", "/proof", ".pdf")]
        return b"\n".join(told)

    def receipts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control.get("/v1/receipts", limit=1000)["receipts"]
        return found

    def command(self, *arguments: str) -> str:
        """Run ``p402``; what it printed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("P402_")}
        environment |= {
            "P402_API_KEY": self.control.key,
            "P402_COLLECTOR_URL": self.collector.url,
            "P402_DATA_DIR": str(self.collector.data_dir),
            **kept_in(self.collector.data_dir, migrated=False).settings,
        }
        done = subprocess.run(
            [str(BIN / "p402"), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def verify(self, folder: Path) -> set[str]:
        """What ``p402-verify`` says last about the bundle of every receipt."""
        [key] = self.control.get("/.well-known/receipt-keys")["keys"]
        said = set()
        for receipt in self.receipts():
            file = folder / f"{receipt['receipt_id']}.json"
            file.write_bytes(self.ask(f"/v1/receipts/{receipt['receipt_id']}.json"))
            command = [str(BIN / "p402-verify"), str(file), "--key", key["vkey"]]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            said.add(done.stdout.splitlines()[-1])
        return said


@contextmanager
def office(data_dir: Path) -> Iterator[Office]:
    settings = {
        "P402_DEFAULT_ORGANISATION": "acme",
        "P402_ANOMALY_SESSION_USD": "0.01",
        "P402_EXPORT_DIR": str(data_dir / "exports"),
        "P402_LEASE_SECONDS": "3600",  # a hold that expires in the middle would change sums
    }
    with running_collector(data_dir, settings) as collector:
        yield Office(collector, control_of(collector))


def fill(here: Office) -> None:
    """Leave Ada's names wherever the product puts names."""
    budget = {"cap": "0.30", "period": "total", "mode": "observe", "warn_at": [50]}
    here.control.put_budget("each-employee", {"level": "employee", **budget})
    here.control.put_budget("each-session", {"level": "session", **budget})
    here.control.put_budget("ada", {"level": "employee", "node": EMPLOYEE, "owner": EMPLOYEE, **budget})
    here.control.post("/v1/keys", {"name": f"laptop of {EMPLOYEE}", "scopes": ["ingest"], "employee": EMPLOYEE})
    tomorrow = rfc3339(datetime.now(UTC) + timedelta(days=1))
    here.control.post(
        "/v1/budgets/ada/overrides",
        {"amount": "5", "owner": EMPLOYEE, "reason": f"{EMPLOYEE} asked", "expires_at": tomorrow},
    )
    asked = {"provider": "anthropic", "model": "claude-opus-4-5", "employee": EMPLOYEE, "session": SESSIONS[1]}
    here.control.post("/v1/decisions", {"question": asked})
    here.control.post("/v1/leases", {"question": asked})
    here.seal(call(SESSIONS[0]), call(SESSIONS[0]), call(SESSIONS[1]), call(None), call("bobs", "bob"))
    eventually(lambda: len(here.control.get("/v1/anomalies")["anomalies"]) >= 3 or None)
    [anomaly, *_] = here.control.get("/v1/anomalies")["anomalies"]
    review = {"decision": "dismissed", "note": f"Talked to {EMPLOYEE}."}
    here.control.post(f"/v1/anomalies/{anomaly['anomaly_id']}/review", review)
    receipt = next(receipt for receipt in here.receipts() if receipt["employee"] == EMPLOYEE)
    said = {"action": "approve", "reviewer": EMPLOYEE, "comment": f"{EMPLOYEE} reviewed this."}
    here.control.post(f"/v1/receipts/{receipt['receipt_id']}/review", said)


def exported(here: Office) -> str:
    """Have the names exported; the export's id."""
    asked = here.control.post("/v1/exports", {"format": "ndjson", "disclose": ["employee", "session_id"]})
    path = f"/v1/exports/{asked['export_id']}"
    eventually(lambda: here.control.get(path)["state"] == "done" or None)
    return path


def sums(here: Office) -> list[tuple[Any, ...]]:
    """What the ledger adds up to, without anybody's name."""
    kept = kept_in(here.collector.data_dir)
    return [
        *kept.rows(
            "SELECT level, SUM(cost_nano_usd), SUM(charges), SUM(input_tokens) FROM spend_hourly GROUP BY level ORDER BY level"
        ),
        *kept.rows("SELECT SUM(sessions), SUM(cost_nano_usd) FROM employee_days"),
        *kept.rows(
            "SELECT budget_id, SUM(spent), SUM(held) FROM budget_accounts GROUP BY budget_id ORDER BY budget_id"
        ),
        *kept.rows("SELECT COUNT(*), SUM(cost_nano_usd) FROM charges"),
    ]


@pytest.mark.parametrize("kind", [SQLITE, POSTGRESQL])
def test_a_person_is_gone_from_every_table_and_answer_and_every_proof_holds(kind: str, tmp_path: Path) -> None:
    with using(kind), office(tmp_path / "data") as here:
        fill(here)
        kept = kept_in(here.collector.data_dir)
        assert {
            "scopes",
            "spend_hourly",
            "budgets",
            "budget_accounts",
            "decisions",
            "leases",
            "audit",
            "events",
            "api_keys",
        } <= set(tables_with(kept, [EMPLOYEE])[EMPLOYEE])
        assert EMPLOYEE.encode() in here.all_that_is_told()
        export = exported(here)
        before, bodies = sums(here), [here.ask(f"/v1/receipts/{found['receipt_id']}/body") for found in here.receipts()]
        assert here.verify(tmp_path) == {"incomplete: anchor not checked"}

        said = here.command("erase", EMPLOYEE, "--legal-basis", "GDPR Art. 17(1)(b)", "--by", "dpo")

        assert " is done: " in said
        assert EMPLOYEE not in said
        assert tables_with(kept, NAMES) == {}
        told = here.all_that_is_told()
        assert [name for name in NAMES if name.encode() in told or json.dumps(name)[1:-1].encode() in told] == []
        assert b"bobs" in told
        assert sums(here) == before
        assert [here.ask(f"/v1/receipts/{found['receipt_id']}/body") for found in here.receipts()] == bodies
        assert here.verify(tmp_path) == {"incomplete: anchor not checked"}
        assert here.control.get(export)["state"] == "expired"
        here.seal(call(SESSIONS[0]), call(SESSIONS[2]))
        assert tables_with(kept, NAMES) == {}
        erased = {receipt["employee"] for receipt in here.receipts()} - {None, "bob"}
        assert len(erased) == 1
        assert erased.pop().startswith("erased-")
    with using(kind), office(tmp_path / "data"):  # which tidies its exports when it starts
        eventually(lambda: files_with(tmp_path / "data", NAMES) == {} or None)


def test_a_backup_that_is_put_back_loses_again_what_was_erased_since(tmp_path: Path) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup.sqlite3"
    with office(data) as here:
        fill(here)
    shutil.copy(data / "p402.sqlite3", backup)
    with office(data) as here:
        here.control.post(
            "/v1/erasures", {"subject": {"employee": EMPLOYEE}, "legal_basis": "GDPR Art. 17", "by": "dpo"}
        )
    for suffix in ("-wal", "-shm"):
        (data / f"p402.sqlite3{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, data / "p402.sqlite3")
    assert EMPLOYEE in files_with(data, [EMPLOYEE])
    with office(data) as here:
        assert tables_with(kept_in(data), NAMES) == {}
        [erasure] = here.control.get("/v1/erasures")["erasures"]
        assert (erasure["state"], erasure["legal_basis"]) == ("done", "GDPR Art. 17")
        assert here.verify(tmp_path) == {"incomplete: anchor not checked"}
    assert files_with(data, NAMES) == {}


def test_a_held_record_refuses_with_its_matter_and_goes_when_it_is_released(tmp_path: Path) -> None:
    with office(tmp_path / "data") as here:
        here.seal(call(SESSIONS[0], project="tender"), call(SESSIONS[1], project="kitchen"))
        placed = here.command(
            "holds", "place", "doe-v-acme", "--employee", EMPLOYEE, "--by", "counsel", "--reason", "the tender"
        )
        body = {"subject": {"employee": EMPLOYEE}, "legal_basis": "GDPR Art. 17(1)(b)", "by": "dpo"}
        headers = {"Authorization": f"Bearer {here.control.key}"}
        refused = httpx.post(here.collector.url + "/v1/erasures", params=WHOLE, json=body, headers=headers)
        assert (refused.status_code, refused.headers["Content-Type"].split(";")[0]) == (409, "application/problem+json")
        assert "doe-v-acme" in refused.json()["detail"]
        assert "doe-v-acme" in here.command("holds", "list")
        here.command("holds", "place", "roe-v-acme", "--project", "tender", "--by", "counsel")
        here.command("holds", "release", placed.split()[0], "--by", "counsel")
        erasure = here.control.post("/v1/erasures", body)
        assert (erasure["state"], erasure["held_back"], erasure["matters"]) == ("held", 2, ["roe-v-acme"])
        kept = kept_in(here.collector.data_dir)
        assert set(tables_with(kept, [SESSIONS[0]])) >= {SESSIONS[0]}
        assert tables_with(kept, [SESSIONS[1]]) == {}
        [hold] = here.control.get("/v1/holds", state="active")["holds"]
        here.command("holds", "release", hold["hold_id"], "--by", "counsel")
        assert here.control.get(f"/v1/erasures/{erasure['erasure_id']}")["state"] == "done"
        assert tables_with(kept, NAMES) == {}
        assert here.verify(tmp_path) == {"incomplete: anchor not checked"}


def test_the_vaults_key_is_rotated_while_the_collector_runs(tmp_path: Path) -> None:
    with office(tmp_path / "data") as here:
        here.seal(call(SESSIONS[0]))
        before = (tmp_path / "data" / "keys" / "vault.key").read_text()
        assert "1 data keys are encrypted with the new wrapping key; 1 old ones are forgotten" in here.command(
            "vault", "rotate"
        )
        assert (tmp_path / "data" / "keys" / "vault.key").read_text() != before
        here.seal(call("bobs", "bob"))
        assert {receipt["employee"] for receipt in here.receipts()} == {EMPLOYEE, "bob"}
        assert "overwritten" in here.command("vault", "scrub")
