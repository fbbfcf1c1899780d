"""A session that costs too much is flagged within a minute, and a real receiver is told once; with real collectors."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from support.collector import RunningCollector, eventually, running_collector
from support.databases import each_database
from support.otlp import ASpan, request_of
from support.receiver import Receiver, receiver

__all__ = ["each_database"]

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
MINUTE = 60.0


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, there: Receiver) -> dict[str, str]:
    """Settings that tell the receiver, as a webhook and as a chat."""
    file = tmp_path / "p402.toml"
    file.write_text(f"""
        anomaly_session_usd = 2
        [[webhooks]]
        name = "ops"
        url = "{there.url}/hook"
        secrets = ["{SECRET}"]
        allow_private = true
        [[channels]]
        name = "chat"
        apprise_url = "json://{there.authority}/chat"
        events = ["anomaly.detected"]
    """)
    return {"P402_CONFIG": str(file)}


def send(collector: RunningCollector, *sessions: str, calls: int = 1) -> None:
    """Calls of $0.264235 each."""
    spans = [ASpan.of({"p402.session": session}) for session in sessions for _ in range(calls)]
    assert collector.export(request_of(spans)).status_code == 200


def anomalies(collector: RunningCollector) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = collector.get("/v1/anomalies", organisation="acme")["anomalies"]
    return found


def test_a_session_above_three_times_the_mean_is_in_the_queue_and_told_within_a_minute(
    tmp_path: Path, config: dict[str, str], there: Receiver
) -> None:
    with running_collector(tmp_path / "data", config) as collector:
        send(collector, *(f"usual-{number}" for number in range(5)))
        send(collector, "dear", calls=4)
        [anomaly] = eventually(lambda: anomalies(collector), MINUTE)
        assert (anomaly["session"], anomaly["rule"], anomaly["cost_usd"]) == ("dear", "employee_mean", "1.05694")
        assert anomaly["baseline"] == {"sessions": 5, "mean_usd": "0.264235", "total_usd": "1.321175"}
        eventually(lambda: len(there.received) == 2, MINUTE)
        [told] = [got for got in there.received if got.path == "/hook"]
        body = Verifier(SECRET).verify(told.body, told.headers)
        assert (body["type"], body["data"]["anomaly_id"]) == ("anomaly.detected", anomaly["anomaly_id"])
        [chat] = [got for got in there.received if got.path == "/chat"]
        assert "Session dear of e-1042 has cost $1.05694" in json.loads(chat.body)["message"]
        [event] = collector.get("/v1/events", organisation="acme")["events"]
        assert event["event_id"] == told.headers["webhook-id"]
        assert "p402_anomalies_open 1.0" in eventually(
            lambda: text if "p402_anomalies_open 1.0" in (text := collector.text("/metrics")) else None
        )
        assert SECRET not in (collector.data_dir / "collector.log").read_text()


def test_two_collectors_on_one_database_flag_and_tell_once(
    tmp_path: Path, config: dict[str, str], there: Receiver
) -> None:
    sessions = [f"s-{number}" for number in range(30)]
    data = tmp_path / "data"
    with running_collector(data, config) as one, running_collector(data, config) as other:
        for session in sessions:
            send(one, session, calls=4)
            send(other, session, calls=4)
        found = eventually(lambda: anomalies(one) if len(anomalies(other)) == 30 else None, MINUTE)
        assert sorted(anomaly["session"] for anomaly in found) == sorted(sessions)
        eventually(lambda: _all_delivered(one), MINUTE)
    told = [got.headers["webhook-id"] for got in there.received if got.path == "/hook"]
    assert (len(told), len(set(told))) == (30, 30)
    assert len([got for got in there.received if got.path == "/chat"]) == 30


def test_what_a_killed_collector_had_not_told_the_next_one_tells(
    tmp_path: Path, config: dict[str, str], there: Receiver
) -> None:
    there.statuses = [503] * 2  # both channels must try again
    with running_collector(tmp_path / "data", config) as collector:
        send(collector, "dear", calls=8)
        eventually(lambda: len(there.received) == 2, MINUTE)
        collector.kill()
    with running_collector(tmp_path / "data", config) as collector:
        event = collector.get("/v1/events", organisation="acme")["events"][0]
        assert {delivery["state"] for delivery in event["deliveries"]} == {"pending"}
        eventually(lambda: len([got for got in there.received if got.path == "/hook"]) == 2, MINUTE)
    ids = {got.headers["webhook-id"] for got in there.received if got.path == "/hook"}
    assert ids == {event["event_id"]}


def _all_delivered(collector: RunningCollector) -> bool:
    events = collector.get("/v1/events", organisation="acme", limit=1000)["events"]
    states = [[delivery["state"] for delivery in event["deliveries"]] for event in events]
    return states == [["delivered", "delivered"]] * 30
