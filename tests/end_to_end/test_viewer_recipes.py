"""The recipes of the README, with the files that are shipped: behind an OpenTelemetry Collector, and Jaeger with links."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from support.collector import PROTOBUF, eventually, running_collector
from support.control import control_of
from support.otlp import ASpan, request_of
from support.viewers import Ports, running_jaeger, running_opentelemetry_collector
from support.wiretap import attributes

pytestmark = pytest.mark.timeout(180)

DEPLOY = Path(__file__).parents[2] / "collector" / "deploy"


def test_behind_an_opentelemetry_collector_every_span_is_charged_and_arrives_in_the_viewer(tmp_path: Path) -> None:
    ports = Ports.free()
    with running_jaeger(tmp_path / "jaeger") as jaeger:
        settings = {"P402_FORWARD_OTLP_URL": jaeger.otlp, "P402_REQUIRE_KEY": "true"}
        with running_collector(tmp_path / "collector", settings) as collector:
            control = control_of(collector)
            key = control.post("/v1/keys", {"name": "otel-collector", "scopes": ["ingest"], "organisation": "acme"})
            with running_opentelemetry_collector(
                tmp_path / "between",
                DEPLOY / "otel-collector.yaml",
                ports,
                {"P402_COLLECTOR": collector.url, "P402_API_KEY": key["secret"]},
            ):
                now = time.time_ns()
                calls = [ASpan.of(parent_span_id=b"outside.", started_ns=now) for _ in range(40)]
                for call in calls:
                    around = ASpan(attributes={}, trace_id=call.trace_id, span_id=b"outside.", started_ns=now)
                    body = request_of([call, around], {"service.name": "behind"})
                    answer = httpx.post(f"http://127.0.0.1:{ports.http}/v1/traces", content=body, headers=PROTOBUF)
                    assert answer.status_code == 200
                eventually(lambda: len(jaeger.find("behind")) == len(calls), 60)
            charges = control.get("/v1/charges", limit="1000")["charges"]
        assert {charge["span_id"] for charge in charges} == {call.span_id.hex() for call in calls}
        shown = jaeger.spans("behind")
        assert len(shown) == 2 * len(calls)
        costs = [attributes(span).get("p402.cost.total_usd") for span in shown if span.parent_span_id]
        assert costs == [0.264235] * len(calls)


def test_jaeger_takes_the_configuration_of_its_page(tmp_path: Path) -> None:
    with running_jaeger(tmp_path / "jaeger", ui=DEPLOY / "jaeger-ui.json") as jaeger:
        page = httpx.get(jaeger.url).text
    shown = page.partition("JAEGER_CONFIG = ")[2].partition(";</script>")[0]
    assert json.loads(shown) == json.loads((DEPLOY / "jaeger-ui.json").read_text())
