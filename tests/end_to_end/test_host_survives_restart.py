"""A service with OpenTelemetry's own exporter loses nothing when the collector is stopped and started again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from p402.vocabulary import Money
from support.books import charge_count, read_books
from support.collector import eventually, running_collector
from support.otlp import ATTRIBUTION, MAY_2026, OWN_SCOPE, WORKED_EXAMPLE, ASpan, request_of
from support.ports import steady_port
from support.sabotaged_collector import GO_ON, WAITING, sabotaged


class Host:
    """A service that makes the worked example's call again and again; each call is a span with its number."""

    def __init__(self, collector_url: str) -> None:
        # The exporter tries again after about 1, 2, 4 and 8 seconds. Its deadline of 10 would fit a restart here, but
        # not on a machine that is busy with other tests.
        exporter = OTLPSpanExporter(f"{collector_url}/v1/traces", timeout=60)
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
        self._tracer = self._provider.get_tracer(OWN_SCOPE)
        self._numbers = count(1)
        self.calls: list[str] = []

    def call(self, times: int) -> None:
        for number in (next(self._numbers) for _ in range(times)):
            request = f"request-{number}"
            attributes: dict[str, Any] = {**WORKED_EXAMPLE, **ATTRIBUTION, "p402.request": request}
            span = self._tracer.start_span("chat claude-opus-4-5", start_time=MAY_2026, attributes=attributes)
            span.end(MAY_2026 + 1_500_000_000)
            self.calls.append(request)

    def shut_down(self) -> None:
        """End as a service does: what is still queued is sent first."""
        self._provider.shutdown()


@contextmanager
def host(collector_url: str) -> Iterator[Host]:
    service = Host(collector_url)
    try:
        yield service
    finally:
        service.shut_down()


def test_the_exporter_carries_every_span_over_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "opentelemetry")
    address = f"127.0.0.1:{steady_port()}"
    settings = {"P402_LISTEN": address}
    with host(f"http://{address}") as service:
        with running_collector(tmp_path, settings) as collector:
            service.call(100)
            eventually(lambda: charge_count(tmp_path))
            service.call(100)  # some of these are on their way when it stops
            collector.process.terminate()
            assert collector.process.wait(timeout=20) == 0
        service.call(100)
        eventually(lambda: "retrying in" in caplog.text)

        with running_collector(tmp_path, settings) as collector:
            service.call(100)
            eventually(lambda: charge_count(tmp_path) >= 400, deadline_seconds=60)
            service.shut_down()
            books = read_books(collector)
            assert sorted(charge["request"] for charge in books.charges) == sorted(service.calls)
            assert books.cost == Money(400 * 264_235_000)  # $0.264235 each
    assert "Failed to export" not in caplog.text


def test_sigterm_ends_cleanly_after_answering_what_is_under_way(tmp_path: Path) -> None:
    command = sabotaged("wait-before", "INSERT INTO charges")
    with running_collector(tmp_path, command=command) as collector, ThreadPoolExecutor(1) as client:
        answer = client.submit(collector.export, request_of([ASpan(), ASpan()]))
        eventually((tmp_path / WAITING).exists)
        collector.process.terminate()
        eventually(lambda: refuses_connections(collector.url))
        assert not answer.done()
        (tmp_path / GO_ON).touch()
        assert answer.result(timeout=20).status_code == 200
        assert collector.process.wait(timeout=20) == 0
    assert charge_count(tmp_path) == 2


def refuses_connections(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz")
    except httpx.ConnectError:
        return True
    return False
