"""The real SDKs, through real HTTP to mock providers: one span for each call, with everything on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from p402.instrumentation import attribution
from support.llm_calls import CALLS, GEMINI, GPT, run
from support.metering import MESSAGES, Llm, Spans, metered

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # by google-genai


@pytest.mark.parametrize("encoding", [None, "gzip", "br"])
@pytest.mark.parametrize(
    ("call", "provider", "operation", "model", "details", "stream"), CALLS, ids=[call[0].__name__ for call in CALLS]
)
async def test_one_span_with_usage_and_attribution(
    spans: Spans,
    llm: Llm,
    call: Callable[[Llm], Any],
    provider: str,
    operation: str,
    model: str,
    details: dict[str, int],
    stream: bool,  # noqa: FBT001 - a parameter of the test
    encoding: Any,
) -> None:
    llm.providers.encoding = encoding
    with attribution(
        organisation="acme", department="legal", project="p-7", client="c-3", employee="e-117", session="s-1"
    ):
        await run(call, llm)
    [span] = spans.calls
    assert (span.name, span.kind, span.status.is_ok) == (f"{operation} {model}", SpanKind.CLIENT, True)
    attributes = spans.only()
    assert attributes["gen_ai.provider.name"] == provider
    assert attributes["gen_ai.operation.name"] == operation
    assert attributes["gen_ai.request.model"] == attributes["gen_ai.response.model"] == model
    usage = {
        name.removeprefix("gen_ai.usage."): n for name, n in attributes.items() if name.startswith("gen_ai.usage.")
    }
    assert usage == {"input_tokens": 100, "output_tokens": 0 if operation == "embeddings" else 20, **details}
    assert attributes.get("p402.usage.cache_write_1h.input_tokens") == (4 if provider == "anthropic" else None)
    assert attributes["p402.usage.source"] == "provider"
    assert attributes.get("gen_ai.request.stream", False) is stream
    assert ("gen_ai.response.time_to_first_chunk" in attributes) is stream
    assert attributes["p402.stream.end"] == "read"
    assert attributes["http.response.status_code"] == 200
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes["p402.request"].startswith("req_")
    levels = ("organisation", "department", "project", "client", "employee", "session")
    assert [attributes[f"p402.{level}"] for level in levels] == ["acme", "legal", "p-7", "c-3", "e-117", "s-1"]
    assert "error.type" not in attributes
    if operation != "embeddings":
        assert attributes["gen_ai.response.id"]
        assert attributes["gen_ai.response.finish_reasons"]


async def test_unattributed_call_is_metered_all_the_same(spans: Spans, llm: Llm) -> None:
    await run(CALLS[0][0], llm)
    attributes = spans.only()
    assert attributes["gen_ai.usage.input_tokens"] == 100
    assert not {"p402.organisation", "p402.department", "p402.employee"} & attributes.keys()


async def test_uninstrument_when_clients_live_on(llm: Llm) -> None:
    with metered() as spans:
        client, gemini = llm.openai(), llm.gemini()
        await gemini.aio.models.generate_content(model=GEMINI, contents="One.")
    await client.chat.completions.create(model=GPT, messages=MESSAGES)
    await gemini.aio.models.generate_content(model=GEMINI, contents="Two.")
    await client.close()
    await gemini.aio.aclose()
    assert len(spans.calls) == 1
