"""``p402 doctor`` finds what is wrong and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from p402.collector.cli import main
from support.collector import running_collector
from support.own_traces import traces_backend


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P402_DATA_DIR", str(tmp_path / "data"))


def test_a_running_set_up_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_collector(tmp_path / "data") as collector:
        monkeypatch.setenv("P402_COLLECTOR_URL", collector.url)
        assert main(["doctor", "--url", collector.url]) == 0
    told = capfd.readouterr().out
    assert "runs and can record" in told
    assert "at the current schema" in told
    assert "HTTP clients that can be hooked: httpx" in told
    assert "takes spans, sent by our exporter" in told
    assert "✗" not in told


def test_a_collector_that_is_away_is_found(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P402_COLLECTOR_URL", "http://127.0.0.1:9")
    assert main(["doctor", "--url", "http://127.0.0.1:9"]) == 1
    told = capfd.readouterr().out
    assert "✗ http://127.0.0.1:9 cannot be reached" in told
    assert "P402_LISTEN or --url says where it listens" in told
    assert "✗ The collector at http://127.0.0.1:9 cannot be reached" in told
    assert "There is no database" in told
    assert "P402_DATA_DIR says where it is" in told


def test_a_key_that_others_can_read_is_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running_collector(tmp_path / "data") as collector:
        (tmp_path / "data" / "keys" / "log.pem").chmod(0o644)
        assert main(["doctor", "--url", collector.url]) == 1
    assert "chmod 600" in capfd.readouterr().out


def test_a_wrong_key_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_collector(tmp_path / "data") as collector:
        monkeypatch.setenv("P402_COLLECTOR_URL", collector.url)
        monkeypatch.setenv("P402_API_KEY", "p402_revoked")
        assert main(["doctor", "--url", collector.url]) == 1
    assert "refuses us (401): check P402_API_KEY" in capfd.readouterr().out


def test_a_chain_that_does_not_answer_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "settlement.key"
    key.write_text("0x" + "11" * 32)
    key.chmod(0o600)
    for name, value in {
        "MODE": "anchor",
        "NETWORK": "local",
        "RPC_URL": "http://127.0.0.1:9",
        "KEY_FILE": str(key),
    }.items():
        monkeypatch.setenv(f"P402_SETTLEMENT_{name}", value)
    assert main(["doctor", "--url", "http://127.0.0.1:9"]) == 1
    assert "✗ The chain's node did not answer" in capfd.readouterr().out


def test_it_says_where_the_collectors_own_traces_go(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with traces_backend() as backend:
        main(["doctor", "--url", "http://127.0.0.1:9"])
        assert "– The collector makes no traces of itself" in capfd.readouterr().out
        monkeypatch.setenv("P402_OWN_TRACES_OTLP_URL", backend.url)
        main(["doctor", "--url", "http://127.0.0.1:9"])
        assert f"✓ {backend.url}/v1/traces takes the collector's own traces." in capfd.readouterr().out
        backend.seen.statuses.append(401)
        main(["doctor", "--url", "http://127.0.0.1:9"])
        told = capfd.readouterr().out
    assert f"✗ {backend.url}/v1/traces does not take the collector's own traces" in told
    assert "code: 401, reason: Unauthorized" in told
