"""A real Jaeger shows what the collector does: a commit inside its request, a decision inside the trace of who asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.collector import RunningCollector, eventually, running_collector
from support.otlp import ASpan, request_of
from support.own_traces import CALLER
from support.ports import steady_port
from support.viewers import Jaeger, running_jaeger
from support.wiretap import attributes

pytestmark = pytest.mark.timeout(180)

SERVICE = "p402-collector"
QUESTION = {
    "department": "legal",
    "provider": "anthropic",
    "model": "claude-opus-4-5",
    "input_tokens": 9,
    "output_tokens": 9,
}


@dataclass(frozen=True)
class Watched:
    """A collector, and the Jaeger that shows its traces."""

    collector: RunningCollector
    jaeger: Jaeger

    def spans(self, name: str) -> list[Span]:
        found = [self.jaeger.trace(trace_id) for trace_id in self.jaeger.find(SERVICE)]
        return [span for trace in found for span in trace.values() if span.name == name]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    with running_jaeger(folder / "jaeger") as jaeger:
        settings = {"P402_OWN_TRACES_OTLP_URL": jaeger.otlp, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with running_collector(folder / "collector", settings) as collector:
            yield Watched(collector, jaeger)


def test_an_export_is_shown_with_its_commit_inside(watched: Watched) -> None:
    assert watched.collector.export(request_of([ASpan()])).status_code == 200
    [request] = eventually(lambda: watched.spans("POST /v1/traces"))
    trace = watched.jaeger.trace(request.trace_id.hex())
    [commit] = [span for span in trace.values() if span.name == "commit"]
    assert commit.parent_span_id == request.span_id
    assert attributes(commit)["p402.commit.changes"] >= 1


def test_a_decision_is_shown_in_the_trace_of_who_asked(watched: Watched) -> None:
    asked = httpx.post(
        f"{watched.collector.url}/v1/decisions", json={"question": QUESTION}, headers={"traceparent": CALLER}
    )
    assert asked.status_code == 200
    [decision] = eventually(lambda: watched.spans("POST /v1/decisions"))
    assert (decision.trace_id.hex(), decision.parent_span_id.hex()) == tuple(CALLER.split("-")[1:3])


def test_a_line_of_the_log_leads_to_its_trace(watched: Watched) -> None:
    watched.collector.export(request_of([ASpan()]))
    eventually(lambda: watched.collector.get("/v1/sessions", organisation="acme")["sessions"])
    watched.collector.post("/v1/sessions/review-7/close", organisation="acme")
    log = watched.collector.data_dir / "collector.log"
    [line, *_] = eventually(lambda: [line for line in log.read_text().splitlines() if "receipt_sealed" in line])
    [sealing, *_] = eventually(lambda: watched.spans("seal receipts"))
    said = json.loads(line)
    assert (said["trace_id"], said["span_id"]) == (sealing.trace_id.hex(), sealing.span_id.hex())


def test_a_stop_does_not_wait_for_a_backend_that_is_away(tmp_path: Path) -> None:
    settings = {"P402_OWN_TRACES_OTLP_URL": f"http://127.0.0.1:{steady_port()}"}
    with running_collector(tmp_path, settings) as collector:
        collector.export(request_of([ASpan()]))
        began = time.monotonic()
        collector.process.terminate()
        assert collector.process.wait(timeout=20) == 0
        assert time.monotonic() - began < 6
    lines = [json.loads(line) for line in (tmp_path / "collector.log").read_text().splitlines() if line[:1] == "{"]
    assert "own_traces_problem" in {line["event"] for line in lines}
