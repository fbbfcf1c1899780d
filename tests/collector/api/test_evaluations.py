"""What evaluators found, over HTTP."""

from __future__ import annotations

from support.collector import PROTOBUF
from support.evaluations import evaluations
from support.otlp import ASpan
from support.server import Server, bearer


async def test_the_mean_is_shown_by_task_type_and_model(server: Server) -> None:
    spans = [ASpan.of({"p402.task_type": "review"}) for _ in range(3)]
    await server.send(*spans)
    body = evaluations(*zip(spans, (0.5, 0.25, 0.25), strict=True), (ASpan(), 1.0))
    await server.ask("POST", "/v1/logs", data=body, headers=PROTOBUF)
    server.clock.advance(hours=1)
    view = (await server.get("/v1/evaluations?organisation=acme")).json
    assert (view["organisation"], view["unmatched"]) == ("acme", 1)
    assert view["evaluations"] == [
        {
            "task_type": "review",
            "provider": "anthropic",
            "model": "claude-opus-4-5",
            "name": "quality",
            "evaluations": 3,
            "mean": "0.333333",
            "lowest": "0.25",
            "highest": "0.5",
        }
    ]


async def test_a_key_of_a_department_sees_its_own_and_no_count_of_the_rest(guarded: Server) -> None:
    legal, sales = ASpan(), ASpan.of({"p402.department": "sales"})
    key = await guarded.key("ingest", organisation="acme")
    await guarded.send(legal, sales, key=key)
    body = evaluations((legal, 0.9), (sales, 0.4), (ASpan(), 0.1))
    await guarded.ask("POST", "/v1/logs", data=body, headers={**PROTOBUF, **bearer(key)})
    guarded.clock.advance(hours=1)
    whole = (await guarded.get("/v1/evaluations", await guarded.key("spend:read", organisation="acme"))).json
    assert (whole["unmatched"], [each["evaluations"] for each in whole["evaluations"]]) == (1, [2])
    of_sales = await guarded.key("spend:read", organisation="acme", department="sales")
    part = (await guarded.get("/v1/evaluations", of_sales)).json
    assert (part["unmatched"], [each["mean"] for each in part["evaluations"]]) == (None, ["0.4"])
