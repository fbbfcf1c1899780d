"""An application that makes every kind of call with every SDK, one cell of the capture matrix after the other.

It runs with whichever versions of the SDKs its interpreter has, under ``opentelemetry-instrument``, and knows nothing of
the collector. Before each cell it names it on stdout and waits for a line on stdin, so that the providers can be told
how to behave; after it, it says in a line of JSON what the application has seen.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Iterator
from importlib import metadata
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import errors, types

from p402.instrumentation import session

MESSAGES: Any = [{"role": "user", "content": "Is this contract in order?"}]
MODELS = {"openai": "gpt-4o", "anthropic": "claude-haiku-4-5", "google-genai": "gemini-2.5-flash"}
CASES = ("plain", "stream", "cancelled", "error", "retry")
SDK_ERRORS = (openai.APIStatusError, anthropic.APIStatusError, errors.APIError)
PIECES_BEFORE_CANCELLING = 3


class OpenAI:
    """Chat completions; the stream's usage is not asked for."""

    def __init__(self, base: str) -> None:
        self.options: Any = {"api_key": "k", "base_url": f"{base}/v1"}
        self.arguments: Any = {"model": MODELS["openai"], "messages": MESSAGES}

    def plain(self) -> str:
        with openai.OpenAI(**self.options) as client:
            return client.chat.completions.create(**self.arguments).choices[0].message.content or ""

    def stream(self) -> Iterator[str]:
        with (
            openai.OpenAI(**self.options) as client,
            client.chat.completions.create(**self.arguments, stream=True) as chunks,
        ):
            for chunk in chunks:
                yield chunk.choices[0].delta.content or ""  # fails on a chunk that was not asked for

    async def plain_async(self) -> str:
        async with openai.AsyncOpenAI(**self.options) as client:
            return (await client.chat.completions.create(**self.arguments)).choices[0].message.content or ""

    async def stream_async(self) -> AsyncIterator[str]:
        async with (
            openai.AsyncOpenAI(**self.options) as client,
            await client.chat.completions.create(**self.arguments, stream=True) as chunks,
        ):
            async for chunk in chunks:
                yield chunk.choices[0].delta.content or ""


class Anthropic:
    """Messages."""

    def __init__(self, base: str) -> None:
        self.options: Any = {"api_key": "k", "base_url": base}
        self.arguments: Any = {"model": MODELS["anthropic"], "messages": MESSAGES, "max_tokens": 900}

    def plain(self) -> str:
        with anthropic.Anthropic(**self.options) as client:
            return str(client.messages.create(**self.arguments).content[0].text)

    def stream(self) -> Iterator[str]:
        with anthropic.Anthropic(**self.options) as client, client.messages.stream(**self.arguments) as stream:
            yield from stream.text_stream

    async def plain_async(self) -> str:
        async with anthropic.AsyncAnthropic(**self.options) as client:
            return str((await client.messages.create(**self.arguments)).content[0].text)

    async def stream_async(self) -> AsyncIterator[str]:
        async with (
            anthropic.AsyncAnthropic(**self.options) as client,
            client.messages.stream(**self.arguments) as stream,
        ):
            async for text in stream.text_stream:
                yield text


class Gemini:
    """Content; this SDK retries only if it is told to."""

    def __init__(self, base: str) -> None:
        retries = types.HttpRetryOptions(attempts=2, initial_delay=0.01, max_delay=0.01)
        self.options: Any = {
            "api_key": "k",
            "http_options": types.HttpOptions(base_url=base, retry_options=retries),
        }
        self.arguments: Any = {"model": MODELS["google-genai"], "contents": "Is this contract in order?"}

    def plain(self) -> str:
        with genai.Client(**self.options) as client:
            return client.models.generate_content(**self.arguments).text or ""

    def stream(self) -> Iterator[str]:
        with genai.Client(**self.options) as client:
            for chunk in client.models.generate_content_stream(**self.arguments):
                yield chunk.text or ""

    async def plain_async(self) -> str:
        async with genai.Client(**self.options).aio as client:
            return (await client.models.generate_content(**self.arguments)).text or ""

    async def stream_async(self) -> AsyncIterator[str]:
        async with genai.Client(**self.options).aio as client:
            async for chunk in await client.models.generate_content_stream(**self.arguments):
                yield chunk.text or ""


def in_sync(sdk: Any, case: str) -> str:
    if case == "stream":
        return "".join(sdk.stream())
    if case == "cancelled":
        stream = sdk.stream()
        seen = [next(stream) for _ in range(PIECES_BEFORE_CANCELLING)]
        stream.close()
        return "".join(seen)
    return str(sdk.plain())


async def in_async(sdk: Any, case: str) -> str:
    if case == "stream":
        return "".join([piece async for piece in sdk.stream_async()])
    if case == "cancelled":
        return await cancelled(sdk)
    return str(await sdk.plain_async())


async def cancelled(sdk: Any) -> str:
    """Cancel the task that reads a stream, while it waits for the next piece."""
    seen: list[str] = []
    enough = asyncio.Event()

    async def read() -> None:
        async for piece in sdk.stream_async():
            seen.append(piece)
            if len(seen) >= PIECES_BEFORE_CANCELLING:
                enough.set()

    task = asyncio.create_task(read())
    await enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled(), "the stream was over before it could be cancelled"
    return "".join(seen)


def run(sdk: Any, mode: str, case: str) -> str:
    try:
        return in_sync(sdk, case) if mode == "sync" else asyncio.run(in_async(sdk, case))
    except SDK_ERRORS as error:
        return f"HTTP {getattr(error, 'status_code', None) or getattr(error, 'code', None)}"


def say(**what: str) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    sdks = {"openai": OpenAI, "anthropic": Anthropic, "google-genai": Gemini}
    for name, make in sdks.items():
        for mode in ("sync", "async"):
            for case in CASES:
                cell = f"{name}/{mode}/{case}"
                say(next=cell)
                sys.stdin.readline()
                with session(cell):
                    seen = run(make(sys.argv[1]), mode, case)
                gc.collect()  # a stream that nobody has closed ends now
                say(cell=cell, seen=seen, version=metadata.version(name))


if __name__ == "__main__":
    main()
