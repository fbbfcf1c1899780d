"""Errors have one shape (RFC 9457), and the operations endpoints answer without a key."""

from __future__ import annotations

from itertools import product

import pytest

from p402.exporters.prometheus import METRICS
from support.otlp import ASpan
from support.server import Answer, Server

GET_ONLY = (
    "/v1/charges",
    "/v1/spend",
    "/v1/forecast",
    "/v1/receipts",
    "/v1/receipts/x",
    "/v1/checkpoints/latest",
    "/healthz",
    "/metrics",
)


def problem(answer: Answer, status: int, title: str) -> str:
    """The detail of a problem document, after a look at the rest."""
    assert (answer.status, answer.media_type) == (status, "application/problem+json")
    assert answer.json["status"] == status
    assert answer.json["title"] == title
    assert answer.json["type"] == "about:p402/" + title.lower().replace(" ", "-")
    detail: str = answer.json["detail"]
    assert detail.endswith(".")
    return detail


@pytest.mark.parametrize("path", ["/v2/charges", "/v1/charges/1", "/v1/", "/favicon.ico", "/v1/receipts/x/y", "/%00"])
async def test_what_is_not_there_is_not_found(server: Server, path: str) -> None:
    assert problem(await server.get(path), 404, "Not found")


async def test_a_method_that_is_not_possible_is_answered_with_those_that_are(server: Server) -> None:
    for method, path in product(("POST", "PUT", "DELETE", "PATCH"), GET_ONLY):
        answer = await server.ask(method, path)
        assert "takes GET" in problem(answer, 405, "Method not allowed")
        assert answer.headers["Allow"] == "GET"


async def test_head_is_not_possible(server: Server) -> None:
    answer = await server.ask("HEAD", "/v1/charges")
    assert (answer.status, answer.headers["Allow"], answer.body) == (405, "GET", b"")


async def test_spans_are_sent_and_not_fetched(server: Server) -> None:
    answer = await server.get("/v1/traces")
    assert "takes POST" in problem(answer, 405, "Method not allowed")


async def test_storage_that_is_down_is_a_problem_that_passes(server: Server) -> None:
    await server.collector.database.close()
    for method, path in (("GET", "/readyz"), ("POST", "/v1/sessions/s/close")):
        answer = await server.ask(method, path)
        problem(answer, 503, "Storage unavailable")
        assert answer.headers["Retry-After"] == "1"
    assert (await server.get("/healthz")).status == 200


async def test_a_fault_of_ours_is_told_without_details(server: Server) -> None:
    await server.collector.database.write(lambda connection: connection.exec_driver_sql("DROP TABLE spend_hourly"))
    answer = await server.get("/v1/spend?organisation=acme")
    assert answer.status in (500, 503)
    assert "SELECT" not in answer.json["detail"]


async def test_a_running_collector_is_healthy_and_ready(server: Server) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await server.get(path)
        assert (answer.status, answer.json["status"]) == (200, "ok")


async def test_operations_are_watched_without_a_key(guarded: Server) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await guarded.get(path)).status == 200


async def test_the_metrics_tell_what_came_in_and_what_it_cost(server: Server) -> None:
    await server.send(ASpan(), ASpan(span_id=b"short"), ASpan.of({"gen_ai.operation.name": "execute_tool"}))
    answer = await server.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    text = answer.body.decode()
    for line in (
        'p402_spans_total{outcome="charged"} 1.0',
        'p402_spans_total{outcome="rejected"} 1.0',
        'p402_spans_total{outcome="not_inference"} 1.0',
        'p402_otlp_requests_total{signal="traces",status="200"} 1.0',
        'p402_charges_total{priced="yes",provider="anthropic"} 1.0',
        'p402_cost_usd_total{department="legal",provider="anthropic"} 0.264235',
    ):
        assert line in text
    for name, meaning in METRICS.items():
        assert f"# HELP {name} {meaning}" in text
