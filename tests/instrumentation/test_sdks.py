"""The real SDKs, through real HTTP to mock providers: one span for each call, with everything on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from p402.instrumentation import attribution
from support.metering import MESSAGES, Llm, Spans

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # by google-genai

GPT, CLAUDE, GEMINI, EMBEDDING = "gpt-4o", "claude-opus-4-5", "gemini-2.5-pro", "text-embedding-3-small"
_OPENAI = {"cache_read.input_tokens": 40, "reasoning.output_tokens": 5}
_ANTHROPIC = {"cache_read.input_tokens": 40, "cache_write.input_tokens": 10}


async def _chat(llm: Llm) -> None:
    async with llm.openai() as client:
        await client.chat.completions.create(model=GPT, messages=MESSAGES)


async def _chat_stream(llm: Llm) -> None:
    async with llm.openai() as client:
        stream = await client.chat.completions.create(model=GPT, messages=MESSAGES, stream=True)
        assert [chunk async for chunk in stream]


def _chat_sync(llm: Llm) -> None:
    with llm.openai_sync() as client:
        client.chat.completions.create(model=GPT, messages=MESSAGES)


def _chat_stream_sync(llm: Llm) -> None:
    with llm.openai_sync() as client:
        assert list(client.chat.completions.create(model=GPT, messages=MESSAGES, stream=True))


async def _responses(llm: Llm) -> None:
    async with llm.openai() as client:
        await client.responses.create(model=GPT, input="Is this contract in order?")


async def _responses_stream(llm: Llm) -> None:
    async with llm.openai() as client:
        assert [event async for event in await client.responses.create(model=GPT, input="Hm?", stream=True)]


def _responses_sync(llm: Llm) -> None:
    with llm.openai_sync() as client:
        client.responses.create(model=GPT, input="Is this contract in order?")


def _responses_stream_sync(llm: Llm) -> None:
    with llm.openai_sync() as client:
        assert list(client.responses.create(model=GPT, input="Is this contract in order?", stream=True))


async def _embeddings(llm: Llm) -> None:
    async with llm.openai() as client:
        await client.embeddings.create(model=EMBEDDING, input="A contract.")


def _embeddings_sync(llm: Llm) -> None:
    with llm.openai_sync() as client:
        client.embeddings.create(model=EMBEDDING, input="A contract.")


async def _messages(llm: Llm) -> None:
    async with llm.anthropic() as client:
        await client.messages.create(model=CLAUDE, max_tokens=90, messages=MESSAGES)


async def _messages_stream(llm: Llm) -> None:
    async with llm.anthropic() as client, client.messages.stream(
        model=CLAUDE, max_tokens=90, messages=MESSAGES
    ) as stream:
        assert [text async for text in stream.text_stream]


def _messages_sync(llm: Llm) -> None:
    with llm.anthropic_sync() as client:
        client.messages.create(model=CLAUDE, max_tokens=90, messages=MESSAGES)


def _messages_stream_sync(llm: Llm) -> None:
    with llm.anthropic_sync() as client, client.messages.stream(
        model=CLAUDE, max_tokens=90, messages=MESSAGES
    ) as stream:
        assert list(stream.text_stream)


async def _content(llm: Llm) -> None:
    async with llm.gemini().aio as client:
        await client.models.generate_content(model=GEMINI, contents="Is this contract in order?")


async def _content_stream(llm: Llm) -> None:
    async with llm.gemini().aio as client:
        stream: Any = await client.models.generate_content_stream(model=GEMINI, contents="Is it?")
        async with aclosing(stream):
            assert [chunk async for chunk in stream]


def _content_sync(llm: Llm) -> None:
    with llm.gemini() as client:
        client.models.generate_content(model=GEMINI, contents="Is this contract in order?")


def _content_stream_sync(llm: Llm) -> None:
    with llm.gemini() as client:
        assert list(client.models.generate_content_stream(model=GEMINI, contents="Is this contract in order?"))


CALLS: list[tuple[Callable[[Llm], Any], str, str, str, dict[str, int], bool]] = [
    (_chat, "openai", "chat", GPT, _OPENAI, False),
    (_chat_stream, "openai", "chat", GPT, _OPENAI, True),
    (_chat_sync, "openai", "chat", GPT, _OPENAI, False),
    (_chat_stream_sync, "openai", "chat", GPT, _OPENAI, True),
    (_responses, "openai", "chat", GPT, _OPENAI, False),
    (_responses_stream, "openai", "chat", GPT, _OPENAI, True),
    (_responses_sync, "openai", "chat", GPT, _OPENAI, False),
    (_responses_stream_sync, "openai", "chat", GPT, _OPENAI, True),
    (_embeddings, "openai", "embeddings", EMBEDDING, {}, False),
    (_embeddings_sync, "openai", "embeddings", EMBEDDING, {}, False),
    (_messages, "anthropic", "chat", CLAUDE, _ANTHROPIC, False),
    (_messages_stream, "anthropic", "chat", CLAUDE, _ANTHROPIC, True),
    (_messages_sync, "anthropic", "chat", CLAUDE, _ANTHROPIC, False),
    (_messages_stream_sync, "anthropic", "chat", CLAUDE, _ANTHROPIC, True),
    (_content, "gcp.gemini", "generate_content", GEMINI, _OPENAI, False),
    (_content_stream, "gcp.gemini", "generate_content", GEMINI, _OPENAI, True),
    (_content_sync, "gcp.gemini", "generate_content", GEMINI, _OPENAI, False),
    (_content_stream_sync, "gcp.gemini", "generate_content", GEMINI, _OPENAI, True),
]


async def run(call: Callable[[Llm], Any], llm: Llm) -> None:
    if asyncio.iscoroutinefunction(call):
        made: Callable[[Llm], Awaitable[None]] = call
        await made(llm)
    else:
        await asyncio.to_thread(call, llm)


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
    stream: bool,
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
    usage = {name.removeprefix("gen_ai.usage."): n for name, n in attributes.items() if name.startswith("gen_ai.usage.")}
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
    await _chat(llm)
    attributes = spans.only()
    assert attributes["gen_ai.usage.input_tokens"] == 100
    assert not {"p402.organisation", "p402.department", "p402.employee"} & attributes.keys()


async def test_uninstrument_when_clients_live_on(llm: Llm) -> None:
    from support.metering import metered

    with metered() as spans:
        client, gemini = llm.openai(), llm.gemini()
        await gemini.aio.models.generate_content(model=GEMINI, contents="One.")
    await client.chat.completions.create(model=GPT, messages=MESSAGES)
    await gemini.aio.models.generate_content(model=GEMINI, contents="Two.")
    await client.close()
    await gemini.aio.aclose()
    assert len(spans.calls) == 1
