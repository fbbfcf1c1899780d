"""``p402 reconcile`` against a real collector."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import pytest

from p402.collector.cli import main
from support.collector import PROTOBUF, running_collector
from support.otlp import ASpan, request_of

pytestmark = pytest.mark.timeout(60)


def test_a_month_is_compared_and_its_difference_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("P402_")]:
        monkeypatch.delenv(name)
    result = {"amount": "50", "currency": "USD", "cost_type": "tokens", "model": "claude-opus-4-5"}
    invoice = tmp_path / "costs.json"
    invoice.write_text(json.dumps({"data": [{"starting_at": "2026-05-15T00:00:00Z", "results": [result]}]}))
    monkeypatch.setenv("COLUMNS", "160")
    with running_collector(tmp_path / "data", {"P402_DEFAULT_ORGANISATION": "acme"}) as running:
        httpx.post(f"{running.url}/v1/traces", content=request_of([ASpan()]), headers=PROTOBUF).raise_for_status()
        monkeypatch.setenv("P402_DATA_DIR", str(tmp_path / "data"))
        assert main(["keys", "create", "cli", "--scope", "admin"]) == 0
        monkeypatch.setenv("P402_API_KEY", capsys.readouterr().out.splitlines()[-1])
        monkeypatch.setenv("P402_COLLECTOR_URL", running.url)
        assert main(["reconcile", str(invoice), "--period", "2026-05", "--pays", "k=department:sales"]) == 0
        said = capsys.readouterr().out
        assert main(["reconcile", str(invoice), "--pays", "k=floor:3"]) == 1
        assert "--pays takes KEY=LEVEL:ID with one of department" in capsys.readouterr().err
        assert main(["reconcile", str(tmp_path / "none.csv")]) == 1
        assert "none.csv cannot be read" in capsys.readouterr().err
    assert "anthropic, 2026-05-01 to 2026-05-31 (UTC)" in said
    assert "$0.235765" in said  # 0.50 - 0.264235
    assert "add the provider's usage export" in said
    assert "/charges?row=N" in said
