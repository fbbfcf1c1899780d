"""A real collector on a real disk that fills up: nothing acknowledged is lost, and all goes on when there is space again."""

from __future__ import annotations

import logging
from pathlib import Path

import openai
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

from p402.collector.demo.providers import MockProviders, Reply
from p402.instrumentation.instrumentor import P402Instrumentor
from p402.vocabulary import Money
from support.books import charge_count, read_books
from support.collector import RunningCollector, eventually, running_collector
from support.full_disk import FULL, KINDS, NO_WRITES, disk
from support.otlp import ASpan, request_of
from support.providers import providers_thread

SPANS = 50
MESSAGES = [{"role": "user", "content": "Is this contract in order?"}]


def export_until_refused(collector: RunningCollector) -> tuple[list[str], bytes]:
    """Send batches until one is refused; give the spans that were acknowledged, and what was refused."""
    acknowledged: list[str] = []
    for _ in range(1_000):
        spans = [ASpan() for _ in range(SPANS)]
        body = request_of(spans)
        if (answer := collector.export(body)).status_code != 200:
            assert answer.status_code == 503
            return acknowledged, body
        acknowledged += [span.span_id.hex() for span in spans]
    raise AssertionError("the disk did not become full")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_acknowledged_is_kept_and_the_rest_is_asked_for_again(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "collector.log"
    with disk(kind, tmp_path / "disk") as small:
        (small.folder / log.name).symlink_to(log)  # on another disk, but where nothing can be written it cannot either
        with running_collector(small.folder) as collector:
            pid = collector.process.pid
            first = [ASpan() for _ in range(SPANS)]
            assert collector.export(request_of(first)).status_code == 200
            small.fill(pid)
            acknowledged, refused = export_until_refused(collector)
            for _ in range(20):
                answer = collector.export(refused)
                assert answer.status_code == 503
                assert answer.headers["Retry-After"] == "1"  # a longer one makes exporters give up
                assert b"try again" in answer.content
            if kind == FULL:  # what is there can still be read; SQLite's readers write a little too, in place
                assert collector.get("/v1/charges", organisation="acme")["charges"]

            small.free(pid)
            eventually(lambda: collector.export(refused).status_code == 200)
            again = [span.span_id.hex() for span in spans_of(refused)]
            assert collector.export(refused).status_code == 200  # as an exporter that missed the answer does
            expected = sorted([*(span.span_id.hex() for span in first), *acknowledged, *again])
            books = read_books(collector)
            assert sorted(books.span_ids) == expected
            assert books.cost == Money(len(expected) * 264_235_000)  # $0.264235 each
        waiting = [line for line in log.read_text().splitlines() if "_wait_for_storage" in line]
        assert len(waiting) == (1 if kind == FULL else 0)
        with running_collector(small.folder) as collector:  # it has no more to repair than after any end
            assert sorted(read_books(collector).span_ids) == expected


def spans_of(body: bytes) -> list[ASpan]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        ASpan(span_id=span.span_id)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_the_hosts_calls_do_not_notice_and_one_line_says_what_was_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    providers = MockProviders(lambda _: Reply("Yes.", 100, 20))
    with (
        disk(NO_WRITES, tmp_path / "disk") as small,
        running_collector(small.folder) as collector,
        providers_thread(providers) as url,
        openai.OpenAI(api_key="k", base_url=f"{url}/v1") as client,
    ):
        environment = {
            "P402_COLLECTOR_URL": collector.url,
            "P402_ORGANISATION": "acme",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        }

        def ask() -> str | None:
            answer = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)  # type: ignore[arg-type]
            return answer.choices[0].message.content

        P402Instrumentor().instrument(tracer_provider=TracerProvider(), environment=environment)
        assert ask() == "Yes."
        eventually(lambda: charge_count(small.folder) == 1)
        small.fill(collector.process.pid)
        export_until_refused(collector)
        before = charge_count(small.folder)
        assert [ask() for _ in range(20)] == ["Yes."] * 20
        eventually(lambda: [line for line in caplog.messages if "could not deliver" in line], 30)
        small.free(collector.process.pid)
        assert ask() == "Yes."
        eventually(lambda: charge_count(small.folder) > before)
        P402Instrumentor().uninstrument()
    reports = [line for line in caplog.messages if "could not deliver" in line]
    assert 1 <= len(reports) <= 2  # one a minute, and one at the end if there was more
    assert not [record for record in caplog.records if record.exc_info]
