"""The real SDKs talk to the running mock providers, and read back what the script says."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as gemini_errors

from p402.collector.demo.providers import MockProviders, Reply, running

# google-genai's own doing, whenever it makes an aiohttp session
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

REPLY = Reply(
    "Clause 7 limits liability to the fees paid.",
    input_tokens=120,
    output_tokens=30,
    cache_read_tokens=40,
    cache_write_tokens=20,
    cache_write_1h_tokens=5,
    reasoning_tokens=7,
)
HELLO: Any = [{"role": "user", "content": "Review this contract."}]
Served = tuple[MockProviders, str]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    providers = MockProviders(lambda _: REPLY)
    async with running(providers) as base_url:
        yield providers, base_url


def gemini_client(base_url: str, version: str = "v1beta", key: str = "any") -> genai.Client:
    return genai.Client(api_key=key, http_options={"base_url": base_url, "api_version": version})


def openai_client(base_url: str, key: str = "any") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0)


def anthropic_client(base_url: str, key: str = "any") -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=base_url, api_key=key, max_retries=0)


# Each of these makes one call and gives (text, id, input, output, cache read, reasoning) as its SDK tells them.
Told = tuple[str, str | None, int, int, int, int]


def openai_told(text: str, answer: Any) -> Told:
    usage = answer.usage
    names = (
        ("prompt_tokens", "completion_tokens") if hasattr(usage, "prompt_tokens") else ("input_tokens", "output_tokens")
    )
    counts = [getattr(usage, name) for name in names]
    details = [getattr(usage, f"{name}_details") for name in names]
    return (text, answer.id, *counts, details[0].cached_tokens, details[1].reasoning_tokens)


async def chat(url: str) -> Told:
    async with openai_client(url) as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=HELLO)
    return openai_told(answer.choices[0].message.content or "", answer)


async def chat_stream(url: str) -> Told:
    async with openai_client(url) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    return openai_told("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks[-1])


def chat_sync(url: str) -> Told:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any") as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)
    return openai_told(answer.choices[0].message.content or "", answer)


def chat_sync_stream(url: str) -> Told:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any") as client:
        stream = client.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    return openai_told("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks[-1])


async def responses(url: str) -> Told:
    async with openai_client(url) as client:
        answer = await client.responses.create(model="gpt-4o", input="Review this contract.")
    return openai_told(answer.output_text, answer)


async def responses_stream(url: str) -> Told:
    async with openai_client(url) as client, client.responses.stream(model="gpt-4o", input="Review this.") as stream:
        answer = await stream.get_final_response()
    return openai_told(answer.output_text, answer)


def responses_sync_stream(url: str) -> Told:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any") as client:
        *_, last = client.responses.create(model="gpt-4o", input="Review this contract.", stream=True)
    assert last.type == "response.completed"
    return openai_told(last.response.output_text, last.response)


def anthropic_told(answer: anthropic.types.Message) -> Told:
    [block] = answer.content
    usage = answer.usage
    assert block.type == "text"
    assert usage.output_tokens_details
    cached = usage.cache_read_input_tokens or 0
    total = usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0)
    return (block.text, answer.id, total, usage.output_tokens, cached, usage.output_tokens_details.thinking_tokens)


async def messages(url: str) -> Told:
    async with anthropic_client(url) as client:
        return anthropic_told(await client.messages.create(model="claude-opus-4-5", max_tokens=99, messages=HELLO))


async def messages_stream(url: str) -> Told:
    async with (
        anthropic_client(url) as client,
        client.messages.stream(model="claude-opus-4-5", max_tokens=99, messages=HELLO) as stream,
    ):
        return anthropic_told(await stream.get_final_message())


def messages_sync(url: str) -> Told:
    with anthropic.Anthropic(base_url=url, api_key="any") as client:
        return anthropic_told(client.messages.create(model="claude-opus-4-5", max_tokens=99, messages=HELLO))


def messages_sync_stream(url: str) -> Told:
    with (
        anthropic.Anthropic(base_url=url, api_key="any") as client,
        client.messages.stream(model="claude-opus-4-5", max_tokens=99, messages=HELLO) as stream,
    ):
        return anthropic_told(stream.get_final_message())


def gemini_told(*chunks: genai.types.GenerateContentResponse) -> Told:
    usage = chunks[-1].usage_metadata
    assert usage
    output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    text = "".join(chunk.text or "" for chunk in chunks)
    prompt, cached = usage.prompt_token_count or 0, usage.cached_content_token_count or 0
    return (text, chunks[-1].response_id, prompt, output, cached, usage.thoughts_token_count or 0)


async def generate(url: str) -> Told:
    async with gemini_client(url).aio as client:
        return gemini_told(await client.models.generate_content(model="gemini-2.5-flash", contents="Review this."))


async def generate_stream(url: str) -> Told:
    async with gemini_client(url, "v1").aio as client:
        stream = await client.models.generate_content_stream(model="gemini-2.5-flash", contents="Review this.")
        return gemini_told(*[chunk async for chunk in stream])


def generate_sync(url: str) -> Told:
    with gemini_client(url, "v1") as client:
        return gemini_told(client.models.generate_content(model="gemini-2.5-flash", contents="Review this."))


def generate_sync_stream(url: str) -> Told:
    with gemini_client(url) as client:
        return gemini_told(*client.models.generate_content_stream(model="gemini-2.5-flash", contents="Review this."))


ASYNC = (chat, chat_stream, responses, responses_stream, messages, messages_stream, generate, generate_stream)
SYNC = (
    chat_sync,
    chat_sync_stream,
    responses_sync_stream,
    messages_sync,
    messages_sync_stream,
    generate_sync,
    generate_sync_stream,
)


def check(told: Told) -> None:
    text, identifier, *counts = told
    assert text == REPLY.text
    assert identifier
    assert counts == [120, 30, 40, 7]


@pytest.mark.parametrize("make_call", ASYNC)
@pytest.mark.parametrize("encoding", [None, "gzip", "br"])
async def test_sdk_reads_what_the_script_says(served: Served, make_call: Any, encoding: Any) -> None:
    providers, base_url = served
    providers.encoding = encoding
    check(await make_call(base_url))
    assert len(providers.requests) == 1


@pytest.mark.parametrize("make_call", SYNC)
async def test_sync_sdk_reads_what_the_script_says(served: Served, make_call: Callable[[str], Told]) -> None:
    check(await asyncio.to_thread(make_call, served[1]))


async def test_embeddings_come_one_for_each_input(served: Served) -> None:
    async with openai_client(served[1]) as client:
        answer = await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=4)
    assert [item.embedding for item in answer.data] == [[0.5, -0.5, 0.25, -0.25]] * 2  # came in base64
    assert answer.usage.prompt_tokens == 120


async def test_every_call_gets_an_id_of_its_own(served: Served) -> None:
    ids = [(await make_call(served[1]))[1] for make_call in (*ASYNC, *ASYNC)]
    assert len(set(ids)) == len(ids)


async def test_requests_are_kept_as_they_arrived(served: Served) -> None:
    providers, base_url = served
    await chat_stream(base_url)
    await messages(base_url)
    await generate_stream(base_url)
    seen = [(call.provider, call.path, call.model, call.stream) for call in providers.requests]
    assert seen == [
        ("openai", "/v1/chat/completions", "gpt-4o", True),
        ("anthropic", "/v1/messages", "claude-opus-4-5", False),
        ("gcp.gemini", "/v1/models/gemini-2.5-flash:streamGenerateContent", "gemini-2.5-flash", True),
    ]
    assert providers.requests[0].headers["authorization"] == "Bearer any"
    assert providers.requests[0].body["messages"] == HELLO


Call = Callable[[str], Awaitable[Told]]
ERRORS: list[tuple[Call, int, type[Exception]]] = [
    (chat, 400, openai.BadRequestError),
    (chat, 403, openai.PermissionDeniedError),
    (chat_stream, 429, openai.RateLimitError),
    (responses, 500, openai.InternalServerError),
    (messages, 403, anthropic.PermissionDeniedError),
    (messages_stream, 429, anthropic.RateLimitError),
    (messages, 529, anthropic.InternalServerError),
    (generate, 429, gemini_errors.ClientError),
    (generate_stream, 403, gemini_errors.ClientError),
    (generate, 503, gemini_errors.ServerError),
]


@pytest.mark.parametrize(("make_call", "status", "error"), ERRORS)
async def test_failures_become_the_sdk_s_own_errors(
    served: Served, make_call: Call, status: int, error: type[Exception]
) -> None:
    providers, base_url = served
    providers.fail_next(status)
    with pytest.raises(error, match="Failing as told"):
        await make_call(base_url)
    check(await make_call(base_url))  # and only the next one failed


async def test_sdk_retries_until_the_failures_are_over(served: Served) -> None:
    providers, base_url = served
    providers.fail_next(500, times=1)
    check(await asyncio.to_thread(chat_sync, base_url))
    assert [call.headers["x-stainless-retry-count"] for call in providers.requests] == ["0", "1"]


async def test_refused_key_is_an_authentication_error(served: Served) -> None:
    _, base_url = served
    async with openai_client(base_url, "invalid") as gpt:
        with pytest.raises(openai.AuthenticationError) as openai_error:
            await gpt.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert openai_error.value.code == "invalid_api_key"
    async with anthropic_client(base_url, "invalid") as claude:
        with pytest.raises(anthropic.AuthenticationError):
            await claude.messages.create(model="claude-opus-4-5", max_tokens=9, messages=HELLO)
    async with gemini_client(base_url, key="invalid").aio as gemini:
        with pytest.raises(gemini_errors.ClientError) as gemini_error:
            await gemini.models.generate_content(model="gemini-2.5-flash", contents="Hello")
    assert (gemini_error.value.code, gemini_error.value.status) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("path", "body", "key", "status"),
    [
        ("/v1/chat/completions", b'{"model": "gpt-4o"}', {}, 401),
        ("/v1/chat/completions", b'{"model": "gpt-4o"}', {"authorization": "any"}, 401),
        ("/v1/messages", b'{"model": "claude-opus-4-5"}', {"x-api-key": ""}, 401),
        ("/v1beta/models/gemini-2.5-flash:generateContent", b"{}", {}, 401),
        ("/v1/chat/completions", b'{"model": ', {"authorization": "Bearer any"}, 400),
        ("/v1/messages", b"[]", {"x-api-key": "any"}, 400),
        ("/v1/responses", b"{}", {"authorization": "Bearer any"}, 400),
        ("/v1/messages", b'{"model": "claude-opus-4-5"}', {"x-api-key": "any"}, 200),
    ],
)
async def test_request_without_key_or_sense_is_refused(
    served: Served, path: str, body: bytes, key: dict[str, str], status: int
) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.post(served[1] + path, data=body, headers={"content-type": "application/json", **key}) as answer,
    ):
        assert answer.status == status
        assert ("error" in await answer.json()) == (status != 200)


async def test_answers_are_compressed_only_for_those_who_accept_it(served: Served) -> None:
    providers, base_url = served
    providers.encoding = "gzip"
    seen = []
    async with httpx2.AsyncClient() as client:
        for accepted in ("gzip", "identity"):
            answer = await client.post(
                f"{base_url}/v1/messages",
                json={"model": "claude-opus-4-5", "stream": True},
                headers={"x-api-key": "any", "accept-encoding": accepted},
            )
            seen.append((answer.headers.get("content-encoding"), answer.text.startswith("event: message_start")))
    assert seen == [("gzip", True), (None, True)]


@pytest.mark.parametrize(
    ("make_call", "error"),
    [
        (chat_stream, openai.APIConnectionError),
        (messages_stream, (anthropic.APIConnectionError, httpx2.RemoteProtocolError)),
        (generate_stream, aiohttp.ClientPayloadError),
    ],
)
async def test_cut_stream_ends_in_an_error(served: Served, make_call: Call, error: Any) -> None:
    providers, base_url = served
    providers.cut_streams = True
    with pytest.raises(error):
        await make_call(base_url)


@pytest.mark.parametrize("encoding", [None, "gzip", "br"])
async def test_each_chunk_can_be_read_before_the_next_is_written(served: Served, encoding: Any) -> None:
    providers, base_url = served
    providers.chunk_delay_seconds, providers.encoding = 3_600.0, encoding
    async with openai_client(base_url) as client:
        stream = await client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
        chunks = aiter(stream)
        first = await asyncio.wait_for(anext(chunks), timeout=20)
        assert first.choices[0].delta.role == "assistant"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(chunks), timeout=0.1)
        await stream.close()


async def test_command_serves_until_it_is_stopped() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "p402.collector.demo.providers", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    lines = [(await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip() for _ in range(3)]
    addresses = dict(line.split("=", 1) for line in lines)
    text, *_ = await chat(addresses["OPENAI_BASE_URL"].removesuffix("/v1"))
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 20) == 0
    assert text
    assert list(addresses) == ["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"]
