"""The demo's driver makes the calls that it is told of, of the sizes that it is told, through the real SDKs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from p402.collector.demo.providers import MockProviders, running
from p402.instrumentation.demo.driver import prompt_of

INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH")
SIZES = {"input_tokens": 700, "output_tokens": 90}
ORDERS: list[dict[str, Any]] = [
    {"model": "claude-haiku-4-5", "department": "engineering", "session": "s-1", "task_type": "debugging", **SIZES},
    {"model": "gpt-4o-mini", "department": "sales", "session": "s-2", "employee": "e-4001", **SIZES},
    {"model": "gemini-2.5-flash", "department": "finance", "session": "s-3", "client": None, **SIZES},
    {"model": "text-embedding-3-small", "department": "engineering", "session": "s-1", **SIZES},
]


class Driven:
    """One run of the driver: what it said, and the attributes of its spans."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.spans: list[dict[str, Any]] = []
        self.err = ""

    async def receive(self, request: web.Request) -> web.Response:
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    values = {item.key: item.value for item in span.attributes}
                    known = {name: getattr(value, value.WhichOneof("value") or "") for name, value in values.items()}
                    self.spans.append(known)
        return web.Response(content_type="application/x-protobuf")

    async def drive(self, orders: list[dict[str, Any]]) -> None:
        collector = web.Application()
        collector.router.add_post("/v1/traces", self.receive)
        async with running(MockProviders()) as providers, TestServer(collector) as received:
            process = await asyncio.create_subprocess_exec(
                *(str(INSTRUMENT), sys.executable, "-m", "p402.instrumentation.demo.driver", "--providers", providers),
                env={
                    **{name: os.environ[name] for name in KEPT if name in os.environ},
                    "P402_COLLECTOR_URL": str(received.make_url("")).rstrip("/"),
                    "P402_BUDGETS": "0",
                },
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            lines = "".join(json.dumps(order) + "\n" for order in orders).encode()
            out, err = await asyncio.wait_for(process.communicate(lines), 90)
            self.told, self.err = [json.loads(line) for line in out.splitlines()], err.decode()


@pytest.fixture(scope="module")
def driven() -> Driven:
    run = Driven()
    asyncio.run(run.drive([*ORDERS, {"model": "gpt-4o", "session": "s-2", "department": " bad ", **SIZES}]))
    return run


def test_every_call_is_made_and_told_of(driven: Driven) -> None:
    answered = {(told["session"], told["answered_by"]) for told in driven.told if told["answered_by"]}
    assert answered == {(order["session"], order["model"]) for order in ORDERS}, driven.err
    assert all(told["refused"] is None for told in driven.told)


def test_a_call_that_cannot_be_made_is_told_of_and_the_next_one_is_made(driven: Driven) -> None:
    [failed] = [told for told in driven.told if told["failed"]]
    assert (failed["session"], failed["answered_by"]) == ("s-2", None)
    assert failed["failed"].startswith("ValueError")


def test_calls_are_attributed_and_as_long_as_they_were_to_be(driven: Driven) -> None:
    by_model = {span["gen_ai.request.model"]: span for span in driven.spans if "gen_ai.request.model" in span}
    for order in ORDERS:
        span = by_model[order["model"]]
        assert span["gen_ai.usage.input_tokens"] == 700
        assert span["gen_ai.usage.output_tokens"] == (0 if "embedding" in order["model"] else 90)
        for level in ("department", "session", "employee", "task_type"):
            assert order.get(level) in {None, span.get(f"p402.{level}")}


@pytest.mark.parametrize("tokens", [1, 12, 700, 16_000])
def test_a_prompt_has_four_bytes_for_each_token_and_room_for_what_it_asks(tokens: int) -> None:
    prompt = prompt_of(tokens, 1_200)
    assert "in 1,200 tokens" in prompt
    assert len(prompt.encode()) in {4 * tokens, max(4 * tokens, len("Answer this in 1,200 tokens. "))}
