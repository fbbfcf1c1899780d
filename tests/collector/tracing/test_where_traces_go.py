"""Where the collector's own traces go, that nothing goes anywhere unless somebody said so, and that nobody waits for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from p402.collector.settings import Settings, SettingsInvalid, load_settings
from p402.collector.storage.database import Database
from p402.collector.tracing.log_lines import SdkLog, name_span
from p402.collector.tracing.spans import observer
from p402.collector.wiring import build
from p402.collector.wiring.tracing import Tracing, build_tracing
from support.otlp import ASpan
from support.own_traces import TracesBackend, traced, traces_backend
from support.ports import steady_port
from support.server import serving


async def test_the_standard_says_who_we_are_what_is_sampled_and_what_is_shown_to_the_backend(
    backend: TracesBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=meter-eu,deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20of-the-backend")
    async with traced(backend, tmp_path) as server:
        await server.get("/v1/charges")
    [request, *_], [resource, *_] = backend.seen.received, backend.resources
    assert (request.path, request.headers["authorization"]) == ("/v1/traces", "Bearer of-the-backend")
    said = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert (said["service.name"], said["deployment.environment.name"]) == ("meter-eu", "test")
    assert said["service.version"] == "0.1.0"
    assert said["service.instance.id"]
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    backend.seen.received.clear()
    async with traced(backend, tmp_path) as server:
        await server.get("/v1/charges")
    assert backend.seen.received == []


async def test_an_environment_that_is_set_for_something_else_switches_nothing_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    settings = load_settings(data_dir=tmp_path)
    assert build_tracing(settings) == Tracing()
    collector = build(settings)
    assert type(collector.database) is Database
    assert [it for it in collector.app.middlewares if it.__module__.startswith("p402.collector.tracing")] == []
    await collector.database.close()


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("127.0.0.1:4318", "http://localhost:4318/v1/traces"),
        ("localhost:4318", "http://[::1]:4318"),
        ("0.0.0.0:4318", "http://localhost:4318"),
        ("[::]:4318", "http://127.0.0.1:4318"),
        ("10.0.0.5:80", "http://10.0.0.5/v1/traces"),
        ("meter.internal:4318", "http://METER.internal:4318"),
    ],
)
def test_an_address_that_is_its_own_is_refused_with_the_reason(listen: str, url: str) -> None:
    with pytest.raises(
        SettingsInvalid, match=r"own_traces_otlp_url leads to this collector itself .*never come to an end"
    ):
        load_settings(listen=listen, own_traces_otlp_url=url)


def test_the_address_at_which_people_open_the_page_is_its_own_too() -> None:
    with pytest.raises(SettingsInvalid, match="leads to this collector itself"):
        load_settings(public_url="https://p402.example.com", own_traces_otlp_url="https://p402.example.com/v1/traces")


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:4318", "http://localhost:14318"),
        ("127.0.0.1:4318", "https://tempo.example.com:4318"),
        ("10.0.0.5:4318", "http://127.0.0.1:4318"),
    ],
)
def test_another_address_is_none_of_its_own(listen: str, url: str) -> None:
    assert load_settings(listen=listen, own_traces_otlp_url=url).own_traces_endpoint == f"{url}/v1/traces"


@pytest.mark.parametrize("does", ["not listen", "not answer"])
async def test_a_backend_that_is_away_delays_neither_requests_nor_the_stop(tmp_path: Path, does: str) -> None:
    said: list[str] = []
    log = SdkLog(said.append)
    with traces_backend() as backend:
        backend.seen.answering.clear()
        url = backend.url if does == "not answer" else f"http://127.0.0.1:{steady_port()}"
        async with serving(tmp_path, own_traces_otlp_url=url) as server:
            began = time.monotonic()
            assert (await server.send(ASpan())).status == 200
            assert time.monotonic() - began < 2
            began = time.monotonic()
        assert time.monotonic() - began < 5
        backend.seen.answering.set()
    log.close()


def test_a_line_within_a_span_names_it() -> None:
    observe = observer(TracerProvider(shutdown_on_exit=False).get_tracer("test"))
    assert name_span(None, "info", {"event": "started"}) == {"event": "started"}
    with structlog.testing.capture_logs(processors=[name_span]) as lines, observe("seal receipts"):
        structlog.get_logger().info("receipt_sealed")
    [line] = lines
    assert (len(line["trace_id"]), len(line["span_id"])) == (32, 16)


def test_a_backends_address_is_checked() -> None:
    with pytest.raises(SettingsInvalid, match="looks like http://jaeger:4318/v1/traces"):
        load_settings(own_traces_otlp_url="jaeger:4318")
    assert Settings().own_traces_endpoint is None
