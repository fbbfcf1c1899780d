"""Spans that charging takes and a backend would not: none of them stops the charging, or the rest of its batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.databases import each_database
from support.forwarded_to import arrived, http_viewer, metric, of
from support.otlp import ATTRIBUTION, MAY_2026, WORKED_EXAMPLE, ASpan
from support.server import Server, serving

__all__ = ["each_database"]

A_SPAN: dict[str, Any] = {
    "traceId": "0af7651916cd43dd8448eb211c80319c",
    "spanId": "b7ad6b7169203331",
    "name": "chat",
    "startTimeUnixNano": str(MAY_2026),
    "endTimeUnixNano": str(MAY_2026 + 1_000_000_000),
    "attributes": [
        {"key": name, "value": {"stringValue" if isinstance(value, str) else "intValue": value}}
        for name, value in (WORKED_EXAMPLE | ATTRIBUTION).items()
    ],
}


async def send_json(server: Server, *spans: dict[str, Any]) -> int:
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()
    answer = await server.ask("POST", "/v1/traces", data=body, headers={"Content-Type": "application/json"})
    return answer.status


async def charged(server: Server) -> int:
    return len((await server.get("/v1/charges?organisation=acme")).json["charges"])


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        ({"traceId": "not hexadecimal"}, 1),
        ({"startTimeUnixNano": "soon"}, 1),
        ({"spanId": "0000000000000000"}, 1),
        ({"events": 7}, 2),  # which charging does not look at
        ({"links": [{"traceId": 7}]}, 2),
    ],
)
async def test_a_span_that_cannot_be_sent_on_is_left_out_and_its_batch_charged_and_sent_on(
    tmp_path: Path, fault: dict[str, Any], calls: int
) -> None:
    async with http_viewer() as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        assert await send_json(server, A_SPAN | {"traceId": "4bf92f3577b34da6a3ce929d0e0e4736"} | fault, A_SPAN) == 200
        assert await charged(server) == calls
        await arrived(lambda: bool(backend.spans))
        assert list(backend.spans) == [bytes.fromhex(A_SPAN["traceId"] + A_SPAN["spanId"])]
        assert await metric(server, 'p402_forwarded_spans_total{backend="default",outcome="left_out"} 1.0')


async def test_a_span_is_sent_on_without_what_in_it_would_make_a_backend_refuse_the_batch(tmp_path: Path) -> None:
    async with http_viewer() as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        cut = {"key": "cut", "value": {"stringValue": "half an emoji: \ud83d"}}
        odd = {
            "parentSpanId": "no hexadecimal",
            "links": [{"traceId": "", "spanId": "ab"}],
            "attributes": [*A_SPAN["attributes"], cut],
        }
        assert await send_json(server, A_SPAN | odd) == 200
        assert await charged(server) == 1
        await arrived(lambda: bool(backend.spans))
        [span] = backend.spans.values()
        assert (span.parent_span_id, len(span.links), of(span)["cut"]) == (b"", 0, "half an emoji: \ufffd")


async def test_a_wrong_parent_in_protobuf_is_not_sent_on_either(tmp_path: Path) -> None:
    async with http_viewer() as backend, serving(tmp_path, forward_otlp_url=backend.url) as server:
        assert (await server.send(ASpan(parent_span_id=b"short"), ASpan(trace_id=bytes(16)))).status == 200
        await arrived(lambda: bool(backend.spans))
        [span] = backend.spans.values()
        assert span.parent_span_id == b""
        assert await metric(server, 'p402_forwarded_spans_total{backend="default",outcome="left_out"} 1.0')
