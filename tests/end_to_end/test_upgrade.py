"""A database that the first version wrote, under this version: nothing is lost, the log goes on, and every proof holds.

``first_schema.sql`` is a dump of what the collector of schema 0001 recorded: twelve calls at the price of the worked example in
four sessions, one call without a price, one without usage; three sessions were sealed.
"""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from p402.collector.cli import main
from support.collector import RunningCollector, eventually, running_collector
from support.otlp import ASpan, request_of

pytestmark = pytest.mark.timeout(120)

DUMP = Path(__file__).parents[1] / "collector" / "storage" / "first_schema.sql"
WHOLE = {"organisation": "acme"}
MAY = {**WHOLE, "from": "2026-05-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}
SETTINGS = {"P402_DEFAULT_ORGANISATION": "acme"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a collector as the first version left it."""
    folder = tmp_path / "data"
    (folder / "keys").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "p402.sqlite3")) as database:
        database.executescript(DUMP.read_text())
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"first schema").digest())
    file = folder / "keys" / "log.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)
    return folder


@pytest.fixture
def upgraded(data: Path) -> Iterator[RunningCollector]:
    """This version's collector on it."""
    with running_collector(data, SETTINGS) as running:
        yield running


def spent(collector: RunningCollector) -> dict[str | None, str]:
    rows = collector.get("/v1/spend", level="department", **MAY)["spend"]
    return {row["department"]: row["cost_usd"] for row in rows}


def test_what_was_spent_stays_and_a_call_that_comes_again_is_known(upgraded: RunningCollector) -> None:
    # 0.264235 for each of six, three and three calls
    before = {"legal": "1.58541", "sales": "0.792705", None: "0.792705"}
    assert spent(upgraded) == before
    charges = upgraded.get("/v1/charges", **WHOLE)["charges"]
    assert len(charges) == 13
    assert [charge["cost_usd"] for charge in charges].count(None) == 1
    again = ASpan.of(
        {"p402.employee": "e-1", "p402.session": "s-1", "gen_ai.response.id": "msg_0_000000000000"},
        trace_id=(1000).to_bytes(16, "big"),
        span_id=(1).to_bytes(8, "big"),
    )
    assert upgraded.export(request_of([again])).status_code == 200
    assert spent(upgraded) == before
    assert 'p402_spans_total{outcome="repeated"} 1.0' in upgraded.text("/metrics")


def test_old_receipts_verify_and_the_log_goes_on(
    upgraded: RunningCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts = upgraded.get("/v1/receipts", **WHOLE)["receipts"]
    assert [receipt["employee"] for receipt in receipts] == ["e-1", "e-2", "e-1"]
    upgraded.post("/v1/sessions/s-4/close", **WHOLE)  # which the first version had not sealed
    sealed = eventually(lambda: upgraded.get("/v1/receipts", employee="e-3", **WHOLE)["receipts"])
    assert len(sealed) == 1
    keys = tmp_path / "keys"
    keys.write_text(upgraded.text("/.well-known/receipt-keys", **WHOLE))
    for receipt in (*receipts, *sealed):
        bundle = tmp_path / "bundle.json"
        bundle.write_text(upgraded.text(f"/v1/receipts/{receipt['receipt_id']}.json", **WHOLE))
        command = [str(Path(sys.executable).parent / "p402-verify"), "--key", str(keys), str(bundle)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.stdout.splitlines()[-1] == "incomplete: anchor not checked", found.stdout + found.stderr
    monkeypatch.setenv("P402_DATA_DIR", str(upgraded.data_dir))
    assert main(["log", "check"]) == 0


def test_a_person_whom_the_first_version_recorded_can_be_erased(upgraded: RunningCollector) -> None:
    body = {"subject": {"employee": "e-1"}, "legal_basis": "GDPR Art. 17", "by": "dpo"}
    httpx.post(f"{upgraded.url}/v1/erasures", params=WHOLE, json=body, timeout=60).raise_for_status()
    eventually(lambda: upgraded.get("/v1/erasures", **WHOLE)["erasures"][0]["state"] == "done", 60)
    employees = {receipt["employee"] for receipt in upgraded.get("/v1/receipts", **WHOLE)["receipts"]}
    assert "e-1" not in employees
    assert "e-2" in employees
    assert spent(upgraded)["sales"] == "0.792705"
