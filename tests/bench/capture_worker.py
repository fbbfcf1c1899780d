"""One measurement of `make bench-capture`, in the environment that holds everybody's instrumentation.

Run: capture_worker.py VARIANT SINK_URL. Prints JSON: CPU microseconds of the whole process (its background threads and the
export of its spans included) for a plain call, a call with 32 at a time, and a chunk of a stream. Each is measured in many
short blocks, at whose end spans are exported, so that every block has all of the cost. What else runs on the machine
(it takes turns on the processors, and empties their caches) can only make a block dearer, so the lower decile of the
blocks is what the code takes by itself.

Run: capture_worker.py VARIANT SINK_URL CALLS. Makes so many plain calls and measures nothing: for who counts instructions.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpcore2
import httpx2
import openai
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

BLOCKS = 16
CALLS = 64
"""In a block; 32 at a time it is two rounds."""
STREAMS = 2
CHUNKS = 400
MESSAGES: Any = [{"role": "user", "content": "Review this clause. " * 200}]  # about 4 kB

_HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o"}
_USAGE = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
_MESSAGE = {"role": "assistant", "content": "In order. " * 50}
_PLAIN = {
    **_HEAD,
    "object": "chat.completion",
    "choices": [{"index": 0, "finish_reason": "stop", "message": _MESSAGE}],
    "usage": _USAGE,
}


def switch_on(variant: str) -> None:
    """Switch one instrumentation on; ``bare`` is none."""
    match variant:
        case "stock httpx2":
            from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

            HTTPX2ClientInstrumentor().instrument()
        case "ours" | "ours, traced too":
            from p402.instrumentation import instrument

            instrument()
        case "genai-openai":
            from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

            OpenAIInstrumentor().instrument()
        case "OpenLLMetry":
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor as Traceloop

            Traceloop().instrument()
        case "OpenInference":
            from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference

            OpenInference().instrument()


def _chunk(content: str | None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    chunk = {
        **_HEAD,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


_USAGE_CHUNK = {**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE}
_STREAM = [_chunk("word ") for _ in range(CHUNKS)] + [_chunk(None, "stop")]


class Pool:
    """In the place of httpcore's connection pool: the whole of httpx2 runs, the hooks in its transport too, but no network."""

    async def handle_async_request(self, request: Any) -> httpcore2.Response:
        """Answer at once, as a provider would."""
        body = json.loads(b"".join([piece async for piece in request.stream]))
        if not body.get("stream"):
            return httpcore2.Response(200, headers=_JSON, content=Pieces([json.dumps(_PLAIN).encode()]))
        asked = (body.get("stream_options") or {}).get("include_usage")
        tail = [b"data: " + json.dumps(_USAGE_CHUNK).encode() + b"\n\n"] if asked else []
        return httpcore2.Response(200, headers=_EVENTS, content=Pieces([*_STREAM, *tail, b"data: [DONE]\n\n"]))

    async def aclose(self) -> None:
        """Close nothing."""


_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream")]


class Pieces:
    """A body that comes in pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        """Close nothing."""


def cpu(run: Callable[[], Coroutine[Any, Any, None]], times: int) -> float:
    """CPU microseconds for each of some things, with the export of their spans: the lower decile of many blocks."""
    provider: Any = trace.get_tracer_provider()
    blocks = []
    with asyncio.Runner() as runner:
        for _ in range(BLOCKS + 1):  # the first is for warming up
            started = time.process_time()
            runner.run(run())
            provider.force_flush()
            blocks.append((time.process_time() - started) / times * 1e6)
    return statistics.quantiles(blocks[1:], n=10)[0]


def trace_to(variant: str, sink: str) -> None:
    """Make the application's own TracerProvider, with its export; ours makes one itself, and needs none but its export."""
    if variant == "ours":
        return
    provider = TracerProvider()
    if variant != "bare":
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{sink}/v1/traces")))
    trace.set_tracer_provider(provider)


def main() -> None:
    variant, sink = sys.argv[1:3]
    trace_to(variant, sink)
    switch_on(variant)
    transport = httpx2.AsyncHTTPTransport()
    transport._pool = Pool()  # type: ignore[assignment] # it has what httpx2 uses of a pool
    http = openai.DefaultAsyncHttpxClient(transport=transport)
    gpt = openai.AsyncOpenAI(api_key="k", base_url="http://provider.test/v1", http_client=http)

    async def plain(calls: int = CALLS) -> None:
        for _ in range(calls):
            await gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES)

    async def together() -> None:
        for _ in range(CALLS // 32):
            await asyncio.gather(*(gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES) for _ in range(32)))

    async def stream() -> None:
        for _ in range(STREAMS):
            async for _ in await gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True):
                pass

    if len(sys.argv) > 3:
        asyncio.run(plain(int(sys.argv[3])))
        trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined] # the SDK's has it
        return
    result = {
        "call": cpu(plain, CALLS),
        "call, 32 at a time": cpu(together, CALLS),
        "chunk of a stream": cpu(stream, STREAMS * CHUNKS),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
