"""Metering without the host's sampling, and without harm to the host when the collector fails; over real HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from p402.instrumentation import attribution, delivery
from p402.instrumentation.delivery import Delivery, Limits
from p402.instrumentation.instrumentor import P402Instrumentor
from support.llm_calls import CALLS, run
from support.metering import MESSAGES, Llm
from support.misbehaving_collector import Behaviour, Collector, misbehaving_collector
from support.wiretap import attributes

FAST = {"OTEL_BSP_SCHEDULE_DELAY": "20"}


class _RecordOnly(Sampler):
    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        return "records everything, samples nothing"


def _metered(collector: Collector, provider: TracerProvider, **environment: str) -> None:
    P402Instrumentor().instrument(
        tracer_provider=provider, environment={"P402_COLLECTOR_URL": collector.url, **FAST, **environment}
    )


async def _run_all(llm: Llm) -> None:
    for made in CALLS:
        await run(made[0], llm)


@pytest.mark.parametrize(
    "sampler",
    [ALWAYS_ON, ALWAYS_OFF, ParentBased(ALWAYS_OFF), _RecordOnly()],
    ids=["all", "none", "of parent", "record only"],
)
async def test_every_call_is_delivered_once_whatever_the_sampler_says(sampler: Sampler, llm: Llm) -> None:
    provider = TracerProvider(sampler=sampler)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with misbehaving_collector(Behaviour.GOOD) as collector:
        _metered(collector, provider)
        with attribution(department="legal"):
            await _run_all(llm)
        P402Instrumentor().uninstrument()
    told = [attributes(span) for span in collector.spans]
    assert len(told) == len(CALLS)
    assert {one["p402.department"] for one in told} == {"legal"}
    assert all(one["gen_ai.usage.input_tokens"] == 100 for one in told)
    assert len(exporter.get_finished_spans()) == (len(CALLS) if sampler is ALWAYS_ON else 0)


@pytest.mark.parametrize("protocol", ["", "http/protobuf"], ids=["our exporter", "the standard exporter"])
async def test_parent_that_is_not_sampled_stays_so_and_its_call_is_metered_in_its_trace(
    llm: Llm, protocol: str
) -> None:
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON))
    inside: list[tuple[int, int]] = []

    def seen_inside(_: httpx2.Request) -> httpx2.Response:
        now = trace.get_current_span().get_span_context()
        inside.append((now.trace_id, now.trace_flags & TraceFlags.SAMPLED))
        return httpx2.Response(200, json={"choices": [], "usage": {}})

    parent = NonRecordingSpan(SpanContext(0xA, 0xB, is_remote=True, trace_flags=TraceFlags(0)))
    with misbehaving_collector(Behaviour.GOOD) as collector:
        standard = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        _metered(collector, provider, **standard if protocol else {})
        token = context.attach(trace.set_span_in_context(parent))
        await _run_all(llm)
        with httpx2.Client(transport=httpx2.MockTransport(seen_inside)) as client:
            client.post("http://gateway/v1/chat/completions", json={"model": "m", "messages": MESSAGES})
        context.detach(token)
        P402Instrumentor().uninstrument()
    assert len(collector.spans) == len(CALLS) + 1
    assert inside == [(0xA, 0)]  # so nothing tells the provider, or another instrumentation, that it is
    assert {(span.trace_id[-1], span.parent_span_id[-1]) for span in collector.spans} == {(0xA, 0xB)}


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
    ],
    ids=["always_off", "disabled", "ratio 0"],
)
@pytest.mark.parametrize("launcher", ["opentelemetry-instrument", "code"])
async def test_a_process_whose_tracing_is_off_is_metered(
    llm: Llm, tmp_path: Path, environment: dict[str, str], launcher: str
) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "import sys, openai\n"
        + ("" if launcher != "code" else "from p402.instrumentation import instrument\ninstrument()\n")
        + "client = openai.OpenAI(api_key='k', base_url=sys.argv[1] + '/v1')\n"
        "client.chat.completions.create(model='gpt-4o', messages=[{'role': 'user', 'content': 'Hm?'}])\n"
    )
    command = [sys.executable, str(app), llm.url]
    if launcher != "code":
        command = [str(Path(sys.executable).with_name(launcher)), *command]
    none = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    with misbehaving_collector(Behaviour.GOOD) as collector:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "P402_"))}
        env = {**inherited, **none, **environment, "P402_COLLECTOR_URL": collector.url, "OTEL_SERVICE_NAME": "hm"}
        ran = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, timeout=90, check=False)
        assert ran.returncode == 0, ran.stderr
    assert [span.name for span in collector.spans] == ["chat gpt-4o"]
    assert b"hm" in collector.bodies[0]


@pytest.mark.parametrize("behaviour", [one for one in Behaviour if one is not Behaviour.GOOD])
async def test_the_hosts_calls_do_not_notice_a_collector_that_misbehaves(
    llm: Llm, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery, "_EXIT_SECONDS", 0.2)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with misbehaving_collector(behaviour) as collector:
        _metered(collector, TracerProvider())
        await _run_all(llm)
        assert len(llm.providers.requests) == len(CALLS)
        started = time.monotonic()
        await asyncio.to_thread(P402Instrumentor().uninstrument)
        assert time.monotonic() - started < 5
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert {record.name for record in warnings} == {"p402.instrumentation"}
    asking, *delivering = sorted((record.getMessage() for record in warnings), key=lambda line: "deliver" in line)
    assert f"could not ask {collector.url} about budgets" in asking
    assert 1 <= len(delivering) <= 2  # one at the first failure, one at the end
    assert f"could not deliver {len(CALLS)} spans to {collector.url} " in delivering[-1]


async def test_the_hosts_calls_do_not_notice_that_nobody_listens(llm: Llm, caplog: pytest.LogCaptureFixture) -> None:
    with misbehaving_collector(Behaviour.GOOD) as collector:
        pass  # its port is closed now
    _metered(collector, TracerProvider(), OTEL_BSP_SCHEDULE_DELAY="60000")
    await _run_all(llm)
    P402Instrumentor().uninstrument()
    asking, line = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "could not ask" in asking
    assert f"could not deliver {len(CALLS)} spans" in line


def test_what_the_queue_cannot_hold_is_counted_and_nobody_waits(caplog: pytest.LogCaptureFixture) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"choices": [], "usage": usage}))
    with misbehaving_collector(Behaviour.SLOW) as collector:
        settings = {"OTEL_BSP_MAX_QUEUE_SIZE": "5", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5", "P402_BUDGETS": "0"}
        _metered(collector, TracerProvider(), **settings)
        with httpx2.Client(transport=answer) as client:

            def call() -> None:
                client.post("http://gateway/v1/chat/completions", json={"model": "m", "messages": MESSAGES})

            for _ in range(5):
                call()
            while not collector.bodies:  # the first batch is on its way, and stays there
                time.sleep(0.005)
            for _ in range(20):
                call()
        sent = len(collector.spans)
        collector.behaviour = Behaviour.GOOD
        collector.released.set()  # the connection ends without an answer, and the batch is sent again
        P402Instrumentor().uninstrument()
    [line] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    lost = 25 - len({span.span_id for span in collector.spans})
    assert lost >= 25 - 5 - sent
    assert f"could not deliver {lost} spans" in line
    assert f"({lost} did not fit into the queue, 0 were not taken" in line


class _Refusing(SpanExporter):
    """Takes nothing, and lets a test see each attempt."""

    def __init__(self) -> None:
        self.attempts = 0

    def export(self, spans: Any) -> SpanExportResult:
        del spans
        self.attempts += 1
        return SpanExportResult.FAILURE


def test_what_comes_while_a_batch_is_sent_is_not_sent_one_by_one() -> None:
    batches: list[int] = []

    class _Busy(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            batches.append(len(spans))
            if len(batches) < 5:
                delivery_.put(ReadableSpan("comes meanwhile"))
            return SpanExportResult.SUCCESS

    delivery_ = Delivery(_Busy, "http://collector", Limits(delay=3600))
    for _ in range(3):
        delivery_.put(ReadableSpan("call"))
    delivery_.flush()
    assert batches == [3]
    delivery_.flush()
    assert batches == [3, 1]
    delivery_.shutdown()


def test_what_a_collector_that_is_away_did_not_take_is_sent_when_it_is_back() -> None:
    sent: list[str] = []

    class _Away(SpanExporter):
        attempts, back = 0, False

        def export(self, spans: Any) -> SpanExportResult:
            self.attempts += 1
            if not self.back:
                return SpanExportResult.FAILURE
            sent.extend(span.name for span in spans)
            return SpanExportResult.SUCCESS

    exporter = _Away()
    delivery_ = Delivery(lambda: exporter, "http://collector", Limits(delay=0.001, batch=2))
    names = [f"call {number}" for number in range(5)]
    for name in names:
        delivery_.put(ReadableSpan(name))
    _until(lambda: exporter.attempts > 3)
    exporter.back = True
    _until(lambda: len(sent) == 5)
    delivery_.shutdown()
    assert sent == names


def test_what_is_never_taken_is_given_up_so_that_the_rest_gets_through() -> None:
    now = [0.0]
    sent: list[str] = []

    class _Picky(SpanExporter):
        attempts = 0

        def export(self, spans: Any) -> SpanExportResult:
            self.attempts += 1
            if any(span.name == "poison" for span in spans):
                return SpanExportResult.FAILURE
            sent.extend(span.name for span in spans)
            return SpanExportResult.SUCCESS

    exporter = _Picky()
    delivery_ = Delivery(lambda: exporter, "http://collector", Limits(delay=0.001, batch=1), clock=lambda: now[0])
    delivery_.put(ReadableSpan("poison"))
    delivery_.put(ReadableSpan("good"))
    _until(lambda: exporter.attempts > 2)
    assert sent == []
    now[0] = 121.0
    _until(lambda: sent == ["good"])
    delivery_.shutdown()


def test_losses_are_reported_once_a_minute_and_at_the_exit(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    exporter = _Refusing()
    delivery_ = Delivery(lambda: exporter, "http://collector", Limits(delay=0.001), clock=lambda: now[0])
    span = ReadableSpan("chat m")

    def lose_one() -> None:
        before = exporter.attempts
        delivery_.put(span)
        _until(lambda: exporter.attempts > before)

    lose_one()
    _until(lambda: len(caplog.records) == 1)
    for _ in range(10):
        lose_one()
    assert len(caplog.records) == 1
    now[0] = 61.0
    _until(lambda: len(caplog.records) == 2)
    lose_one()
    delivery_.shutdown()
    delivery_.shutdown()
    delivery_.put(span)  # too late, and no error
    assert [int(record.getMessage().split()[5]) for record in caplog.records] == [1, 11, 12]


def test_a_forked_child_delivers_its_own_spans_only() -> None:
    with misbehaving_collector(Behaviour.GOOD) as collector:
        code = (
            "import os, sys, httpx2\n"
            "from p402.instrumentation import instrument\n"
            "instrument()\n"
            "def call(model):\n"
            "    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json={'choices': [], 'usage': {}}))\n"
            "    httpx2.Client(transport=transport).post('http://g/v1/chat/completions', json={'model': model, 'messages': []})\n"
            "call('parent')\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    call('child')\n"
            "    from p402.instrumentation import uninstrument\n"
            "    uninstrument()\n"
            "    os._exit(0)\n"
            "os.waitpid(pid, 0)\n"
        )
        env = {**os.environ, "P402_COLLECTOR_URL": collector.url}
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env, check=True, timeout=60)
    assert sorted(span.name for span in collector.spans) == ["chat child", "chat parent"]


def test_an_idle_process_has_no_thread_of_the_delivery() -> None:
    with misbehaving_collector(Behaviour.GOOD) as collector:
        _metered(collector, TracerProvider())
        assert "p402-delivery" not in {thread.name for thread in threading.enumerate()}
        P402Instrumentor().uninstrument()


def test_what_comes_when_no_thread_can_start_any_more_is_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with misbehaving_collector(Behaviour.GOOD) as collector:
        provider = TracerProvider()
        _metered(collector, provider)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refused)
            provider.get_tracer("p402.instrumentation").start_span(
                "chat m", attributes={"gen_ai.request.model": "m"}
            ).end()
        P402Instrumentor().uninstrument()
    assert [span.name for span in collector.spans] == ["chat m"]


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.002)
