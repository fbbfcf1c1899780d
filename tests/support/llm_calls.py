"""Every kind of call of the real SDKs, to run against the mock providers, and what must be told of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from support.metering import MESSAGES, Llm

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
    async with (
        llm.anthropic() as client,
        client.messages.stream(model=CLAUDE, max_tokens=90, messages=MESSAGES) as stream,
    ):
        assert [text async for text in stream.text_stream]


def _messages_sync(llm: Llm) -> None:
    with llm.anthropic_sync() as client:
        client.messages.create(model=CLAUDE, max_tokens=90, messages=MESSAGES)


def _messages_stream_sync(llm: Llm) -> None:
    with (
        llm.anthropic_sync() as client,
        client.messages.stream(model=CLAUDE, max_tokens=90, messages=MESSAGES) as stream,
    ):
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
