"""Spans reach a backend that we did not write for, with their cost and without content, whatever the backend does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from p402.collector.forward_settings import ForwardSettings
from support.databases import each_database, kept_in
from support.forwarded_to import arrived, grpc_viewer, http_viewer, metric, of, way_to
from support.otlp import ASpan, request_of
from support.server import serving

__all__ = ["each_database"]

SECRET = "the merger is on Friday"


@pytest.mark.parametrize("viewer", [http_viewer, grpc_viewer])
async def test_a_trace_arrives_whole_with_its_cost_and_without_content(
    tmp_path: Path, viewer: Callable[[], Any]
) -> None:
    async with viewer() as backend:
        route = way_to(backend, viewer, headers={"X-Tenant": "acme"})
        async with serving(tmp_path, forward=(route,)) as server:
            trace = bytes(range(16))
            root = ASpan(attributes={"gen_ai.operation.name": "invoke_agent"}, trace_id=trace)
            call = ASpan.of({"gen_ai.input.messages": SECRET}, trace_id=trace, parent_span_id=root.span_id)
            tool = ASpan(attributes={"http.url": "https://x.test/?key=1"}, trace_id=trace, parent_span_id=root.span_id)
            assert (await server.send(root, call, tool)).status == 200
            await arrived(lambda: len(backend.spans) == 3)
            shown = of(backend.spans[trace + call.span_id])
            assert (shown["p402.cost.total_usd"], shown["p402.cost.bucket"]) == (0.264235, "0.1-1")
            assert shown["p402.department"] == "legal"
            assert "p402.employee" not in shown  # personal, and nobody said that it may leave
            assert shown["p402.content.stripped"] is True
            assert of(backend.spans[trace + root.span_id])["p402.cost.trace_total_usd"] == 0.264235
            assert of(backend.spans[trace + tool.span_id])["http.url"] == "https://x.test/"
            assert SECRET.encode() not in backend.requests[0].SerializeToString()
            sent = backend.spans[trace + call.span_id]
            assert (sent.start_time_unix_nano, sent.parent_span_id) == (call.started_ns, root.span_id)
            headers = {name.lower(): value for name, value in backend.headers[0].items()}
            assert headers["x-tenant"] == "acme"
            assert viewer is grpc_viewer or headers["content-encoding"] == "gzip"
            await arrived(lambda: metric(server, 'p402_forwarded_spans_total{backend="default",outcome="sent"} 3.0'))


async def test_each_step_of_an_agent_says_what_the_calls_below_it_cost(tmp_path: Path) -> None:
    async with http_viewer() as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        trace = bytes(range(16))
        agent = ASpan(attributes={"gen_ai.operation.name": "invoke_agent"}, trace_id=trace)
        steps = [ASpan(attributes={}, trace_id=trace, parent_span_id=agent.span_id) for _ in range(3)]
        inner = ASpan(attributes={}, trace_id=trace, parent_span_id=steps[1].span_id)
        calls = [ASpan.of(trace_id=trace, parent_span_id=around.span_id) for around in (steps[0], inner, inner)]
        for spans in (calls, [inner], steps, [agent]):  # as they end, and each exported by itself
            assert (await server.send(*spans)).status == 200
        await arrived(lambda: len(backend.spans) == 8)

        def below(span: ASpan) -> float | None:
            return of(backend.spans[trace + span.span_id]).get("p402.cost.below_usd")

        assert [below(span) for span in (*steps, inner, agent)] == [0.264235, 0.52847, None, 0.52847, 0.792705]
        assert [below(call) for call in calls] == [None] * 3
        assert of(backend.spans[trace + agent.span_id])["p402.cost.trace_total_usd"] == 0.792705


async def test_a_refused_call_arrives_with_the_owner_that_the_key_says(tmp_path: Path) -> None:
    async with http_viewer() as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        key = await server.key("ingest", organisation="acme", department="sales")
        without = dict.fromkeys(("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"))
        refused = ASpan.of({"p402.decision.verdict": "block", **without})
        assert (await server.send(refused, key=key)).status == 200
        await arrived(lambda: len(backend.spans) == 1)
        shown = of(backend.spans[refused.trace_id + refused.span_id])
        assert (shown["p402.department"], shown["p402.cost.bucket"]) == ("sales", "refused")
        assert "p402.cost.total_usd" not in shown


async def test_a_downgrade_arrives_with_a_span_of_what_was_asked_for(tmp_path: Path) -> None:
    async with http_viewer() as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        call = ASpan.of({"p402.decision.verdict": "downgrade", "p402.decision.original_model": "claude-opus-4-8"})
        assert (await server.send(call)).status == 200
        await arrived(lambda: len(backend.spans) == 2)
        [link] = backend.spans[call.trace_id + call.span_id].links
        assert backend.spans[link.trace_id + link.span_id].name == "asked for chat claude-opus-4-8"
        await arrived(lambda: metric(server, 'p402_forwarded_spans_total{backend="default",outcome="sent"} 2.0'))


@pytest.mark.parametrize("viewer", [http_viewer, grpc_viewer])
async def test_a_backend_that_is_overloaded_or_away_gets_every_span_once_it_is_back(
    tmp_path: Path, viewer: Callable[[], Any]
) -> None:
    async with viewer() as backend:
        backend.answers = [429, 503]
        async with serving(tmp_path, forward=(way_to(backend, viewer),)) as server:
            for _ in range(5):
                assert (await server.send(ASpan(), ASpan())).status == 200
            await arrived(lambda: len(backend.spans) == 10)
            sent = sum(
                len(scope.spans)
                for request in backend.requests
                for resource in request.resource_spans
                for scope in resource.scope_spans
            )
            assert sent == 10  # none twice


async def test_a_batch_that_a_backend_will_never_take_is_dropped_and_told(tmp_path: Path) -> None:
    async with http_viewer() as backend:
        partial = ExportTracePartialSuccess(rejected_spans=1, error_message="too old")
        backend.answers = [400, ExportTraceServiceResponse(partial_success=partial)]
        async with serving(tmp_path, forward_otlp_url=backend.url) as server:
            await server.send(ASpan())
            await arrived(lambda: metric(server, 'p402_forwarded_spans_total{backend="default",outcome="refused"} 1.0'))
            await server.send(ASpan(), ASpan())
            await arrived(lambda: metric(server, 'p402_forwarded_spans_total{backend="default",outcome="refused"} 2.0'))
            assert await metric(server, 'p402_forwarded_spans_total{backend="default",outcome="sent"} 1.0')


async def test_backends_have_their_own_pace_and_their_own_policy(tmp_path: Path) -> None:
    async with http_viewer() as open_one, http_viewer() as away:
        away.answers = [503] * 1000
        routes = (
            ForwardSettings(name="jaeger", url=open_one.url, personal=True, drop=("service.*", "p402.client")),
            ForwardSettings(name="vendor", url=away.url),
        )
        async with serving(tmp_path, forward=routes) as server:
            span = ASpan()
            await server.send(span)
            await arrived(lambda: len(open_one.spans) == 1)
            shown = of(open_one.spans[span.trace_id + span.span_id])
            assert shown["p402.employee"] == "e-1042"
            assert "p402.client" not in shown
            names = [pair.key for pair in open_one.requests[0].resource_spans[0].resource.attributes]
            assert names == ["p402.forwarded.hops"]
            assert away.spans == {}


async def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    async with http_viewer() as backend:
        backend.answers = [503] * 1000
        async with serving(tmp_path, forward_otlp_url=backend.url) as server:
            await server.send(ASpan())
            await arrived(lambda: bool(backend.headers))
        backend.answers = []
        async with serving(tmp_path, forward_otlp_url=backend.url):
            await arrived(lambda: len(backend.spans) == 1)


async def test_what_waits_is_forgotten_when_no_backend_is_configured_any_more(tmp_path: Path) -> None:
    async with http_viewer() as backend:
        backend.answers = [503] * 1000
        async with serving(tmp_path, forward_otlp_url=backend.url) as server:
            await server.send(ASpan())
            await arrived(lambda: bool(backend.headers))
    count = "SELECT count(*) FROM forward_batches"
    assert kept_in(tmp_path).rows(count) == [(1,)]
    async with serving(tmp_path):
        await arrived(lambda: kept_in(tmp_path).rows(count) == [(0,)])


async def test_a_batch_that_its_sender_repeats_is_sent_on_once(tmp_path: Path) -> None:
    async with http_viewer() as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        body = request_of([ASpan()])
        await server.export(body)
        await arrived(lambda: len(backend.requests) == 1)
        await server.export(body)
        marker = ASpan()
        await server.send(marker)
        await arrived(lambda: marker.trace_id + marker.span_id in backend.spans)
        assert len(backend.requests) == 2


async def test_spans_in_json_arrive_like_those_in_protobuf(tmp_path: Path) -> None:
    async with http_viewer() as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        span = {
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": "eee19b7ec3c1b174",
            "name": "GET",
            "kind": 3,
            "startTimeUnixNano": "1778835600000000000",
            "attributes": [{"key": "a", "value": {"intValue": "7"}}],
        }
        document = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        answer = await server.ask("POST", "/v1/traces", json=document)
        assert answer.status == 200
        await arrived(lambda: len(backend.spans) == 1)
        [sent] = backend.spans.values()
        assert (sent.trace_id.hex(), sent.kind, of(sent)) == (span["traceId"], 3, {"a": 7})


async def test_a_circle_of_collectors_ends(tmp_path: Path) -> None:
    async with http_viewer() as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        await server.send(ASpan())
        for hops in range(1, 5):
            await arrived(lambda hops=hops: len(backend.requests) == hops)
            await server.export(backend.requests[-1].SerializeToString())
        marker = ASpan()
        await server.send(marker)
        await arrived(lambda: marker.trace_id + marker.span_id in backend.spans)
        assert len(backend.requests) == 5  # four rounds and the marker


async def test_what_is_too_large_for_a_backend_is_sent_in_smaller_pieces(tmp_path: Path) -> None:
    async with http_viewer(largest=100_000) as backend:
        backend.answers = [503]
        async with serving(tmp_path, forward_otlp_url=backend.url) as server:
            spans = [ASpan.of({f"app.note.{part}": "x" * 1_900 for part in range(20)}) for _ in range(8)]
            for span in spans:
                await server.send(span)
            await arrived(lambda: len(backend.spans) == 8)


async def test_one_request_that_is_too_large_is_sent_in_halves_and_only_what_never_fits_is_refused(
    tmp_path: Path,
) -> None:
    async with http_viewer(largest=4_000) as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        spans = [ASpan.of({"app.note": "x" * 1_000}) for _ in range(7)]
        never = ASpan.of({f"app.note.{number}": "x" * 1_900 for number in range(3)})
        assert (await server.send(*spans, never)).status == 200
        await arrived(lambda: metric(server, 'p402_forwarded_spans_total{backend="default",outcome="refused"} 1.0'))
        assert set(backend.spans) == {span.trace_id + span.span_id for span in spans}


async def test_a_full_queue_gives_up_the_oldest_and_counts_them(tmp_path: Path) -> None:
    async with http_viewer() as backend:
        backend.answers = [503] * 10_000
        async with serving(tmp_path, forward_otlp_url=backend.url, forward_max_bytes=1 << 20) as server:
            spans = [ASpan.of({f"app.note.{part}": "x" * 1_900 for part in range(105)}) for _ in range(8)]
            for span in spans:
                assert (await server.send(span)).status == 200
            await arrived(lambda: metric(server, 'p402_forwarded_spans_total{backend="default",outcome="lost"} 3.0'))
            backend.answers = []
            await arrived(lambda: spans[-1].trace_id + spans[-1].span_id in backend.spans)
            assert spans[0].trace_id + spans[0].span_id not in backend.spans
