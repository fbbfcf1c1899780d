"""`opentelemetry-instrument python app.py`, for real: another process, mock providers, and a small OTLP receiver."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from support.metering import Llm

_INSTRUMENT = str(Path(sys.executable).with_name("opentelemetry-instrument"))
_APP = """
import asyncio, sys
import anthropic, openai
from google import genai
from opentelemetry import trace

url = sys.argv[1]
messages = [{"role": "user", "content": "Is this contract in order?"}]


async def main():
    with trace.get_tracer("app").start_as_current_span("no model here"):
        gpt = openai.AsyncOpenAI(api_key="k", base_url=url + "/v1")
        stream = await gpt.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        assert all([chunk.choices async for chunk in stream])
        claude = anthropic.AsyncAnthropic(api_key="k", base_url=url)
        await claude.messages.create(model="claude-opus-4-5", max_tokens=90, messages=messages)
        async with genai.Client(api_key="k", http_options={"base_url": url}).aio as gemini:
            await gemini.models.generate_content(model="gemini-2.5-pro", contents="Is it?")
    openai.OpenAI(api_key="k", base_url=url + "/v1").embeddings.create(model="embed", input="x")


asyncio.run(main())
"""


@dataclass
class Received:
    url: str = ""
    keys: list[str | None] = field(default_factory=list)
    spans: list[tuple[dict[str, Any], str, dict[str, Any]]] = field(default_factory=list)
    """Attributes of the resource, name, attributes."""


@asynccontextmanager
async def _receiver() -> AsyncIterator[Received]:
    received = Received()

    async def traces(request: web.Request) -> web.Response:
        data = await request.read()
        if request.headers.get("content-encoding") == "gzip" and data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        export = ExportTraceServiceRequest.FromString(data)
        received.keys.append(request.headers.get("authorization"))
        for of_resource in export.resource_spans:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                received.spans += [(resource, span.name, _values(span.attributes)) for span in of_scope.spans]
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")

    application = web.Application()
    application.router.add_post("/v1/traces", traces)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        received.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield received
    finally:
        await runner.cleanup()


def _values(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


async def _run(app: Path, llm: Llm, environment: dict[str, str]) -> tuple[int, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "P402_", "ANTHROPIC_"))
    }
    process = await asyncio.create_subprocess_exec(
        _INSTRUMENT,
        sys.executable,
        str(app),
        llm.url,
        env={**inherited, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(_APP)
    return path


async def test_spans_arrive_at_the_collector(llm: Llm, app: Path) -> None:
    async with _receiver() as received:
        status, output = await _run(
            app,
            llm,
            {
                "P402_COLLECTOR_URL": received.url,
                "P402_API_KEY": "key_1",
                "P402_DEPARTMENT": "legal",
                "OTEL_SERVICE_NAME": "contracts",
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_METRICS_EXPORTER": "none",
                "OTEL_LOGS_EXPORTER": "none",
            },
        )
    assert status == 0, output
    assert "Traceback" not in output
    assert set(received.keys) == {"Bearer key_1"}
    assert sorted(name for _, name, _ in received.spans) == [
        "chat claude-opus-4-5",
        "chat gpt-4o",
        "embeddings embed",
        "generate_content gemini-2.5-pro",
    ]
    for resource, _, attributes in received.spans:
        assert resource["service.name"] == "contracts"
        assert attributes["p402.department"] == "legal"
        assert attributes["gen_ai.usage.input_tokens"] == 100
    assert all("baggage" not in request.headers for request in llm.providers.requests)


async def test_collector_that_is_away_changes_nothing(llm: Llm, app: Path) -> None:
    status, output = await _run(
        app, llm, {"P402_COLLECTOR_URL": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    )
    assert status == 0, output
    assert len(llm.providers.requests) == 4


async def test_switched_off(llm: Llm, app: Path) -> None:
    async with _receiver() as received:
        status, output = await _run(app, llm, {"P402_COLLECTOR_URL": received.url, "P402_DISABLED": "1"})
    assert status == 0, output
    assert output.count("P402_DISABLED") == 1
    assert received.spans == []
