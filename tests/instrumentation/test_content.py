"""What leaves the process of prompts and answers: nothing by default; hashes, redacted or full text when asked."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from p402.collector.demo.providers import MockProviders, Reply, running
from p402.instrumentation import redaction
from p402.instrumentation.content import Content, ContentMode
from p402.instrumentation.instrumentor import P402Instrumentor
from p402.instrumentation.redaction import redact
from support.metering import Llm, Spans, metered
from support.misbehaving_collector import Behaviour, misbehaving_collector

SYSTEM, USER, ANSWER = (
    "zebra-system-7731",
    "zebra-prompt-7732 jane.doe@acme.example",
    "zebra-answer-7733 +49 30 1234567",
)
KEY = "a-key-of-sixteen-characters"
_parser: Any = importlib.import_module("re._parser")


@pytest.fixture
async def secretive() -> AsyncIterator[Llm]:
    providers = MockProviders(lambda _: Reply(ANSWER, 100, 20))
    async with running(providers) as url:
        yield Llm(providers, url)


async def _openai(llm: Llm, *, stream: bool) -> None:
    messages: Any = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]
    async with llm.openai(max_retries=0) as client:
        answer: Any = await client.chat.completions.create(model="gpt-4o", messages=messages, stream=stream)
        if stream:
            assert [chunk async for chunk in answer]


async def _anthropic(llm: Llm, *, stream: bool) -> None:
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": USER}]}]
    async with llm.anthropic(max_retries=0) as client:
        answer: Any = await client.messages.create(
            model="claude-opus-4-5", max_tokens=99, system=SYSTEM, messages=messages, stream=stream
        )
        if stream:
            assert [event async for event in answer]


async def _gemini(llm: Llm, *, stream: bool) -> None:
    async with llm.gemini().aio as client:
        asked: Any = {"model": "gemini-2.5-pro", "contents": USER, "config": {"system_instruction": SYSTEM}}
        if stream:
            parts = await client.models.generate_content_stream(**asked)
            assert [part async for part in parts]
        else:
            await client.models.generate_content(**asked)


SDKS = [_openai, _anthropic, _gemini]


async def _every_way(llm: Llm) -> None:
    """Plain, streamed, refused and failing calls of every SDK, and a few that fail in our own code."""
    for call in SDKS:
        for stream in (False, True):
            await call(llm, stream=stream)
            for status in (400, 500):
                llm.providers.fail_next(status)
                with suppress(Exception):
                    await call(llm, stream=stream)


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF], ids=["sampled", "not sampled"])
async def test_seeded_secrets_are_in_no_output_by_default(
    secretive: Llm,
    sampler: Sampler,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("p402", "opentelemetry", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, name)
    with misbehaving_collector(Behaviour.GOOD) as collector:
        environment = {"P402_COLLECTOR_URL": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "20"}
        P402Instrumentor().instrument(tracer_provider=TracerProvider(sampler=sampler), environment=environment)
        await _every_way(secretive)
        monkeypatch.setattr("p402.instrumentation.inspection.prompt_pattern", _quoting)
        monkeypatch.setattr("p402.instrumentation.call.used", _quoting)
        await _openai(secretive, stream=True)
        await asyncio.to_thread(P402Instrumentor().uninstrument)
        told = b"".join(collector.bodies)
        assert len(collector.spans) == 19
    assert b"p402.content_mode" in told
    printed = capfd.readouterr()
    logged = "".join(f"{record.getMessage()}{record.exc_text}" for record in caplog.records)
    for place in (told.decode(errors="replace"), printed.out, printed.err, logged):
        assert "zebra" not in place
        assert "jane.doe" not in place


def _quoting(*_: Any) -> Any:
    raise ValueError(USER)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("call", SDKS)
async def test_metadata_says_so_and_nothing_else(spans: Spans, secretive: Llm, call: Any, *, stream: bool) -> None:
    await call(secretive, stream=stream)
    told = spans.only()
    assert told["p402.content_mode"] == "metadata"
    assert not [name for name in told if "message" in name or name.startswith("p402.fingerprint")]


@pytest.mark.parametrize("call", SDKS)
async def test_fingerprints_are_keyed_and_the_same_for_a_stream(secretive: Llm, call: Any) -> None:
    with metered({"P402_CONTENT_MODE": "fingerprint", "P402_FINGERPRINT_KEY": KEY}) as spans:
        await call(secretive, stream=False)
        await call(secretive, stream=True)
        first, second = [span.attributes or {} for span in spans.calls]
    assert first["p402.content_mode"] == "fingerprint"
    prompt = f"system: {SYSTEM}\nuser: {USER}"
    for told in (first, second):
        assert told["p402.fingerprint.prompt"] == hmac.digest(KEY.encode(), prompt.encode(), "sha256").hex()
        assert told["p402.fingerprint.output"] == hmac.digest(KEY.encode(), ANSWER.encode(), "sha256").hex()
        assert hashlib.sha256(ANSWER.encode()).hexdigest() not in told.values()
    assert not _quotes(spans.calls)


async def test_without_a_key_fingerprints_differ_from_process_to_process(secretive: Llm) -> None:
    prints = set()
    for _ in range(2):
        with metered({"P402_CONTENT_MODE": "fingerprint"}) as spans:
            await _openai(secretive, stream=False)
            prints.add(spans.only()["p402.fingerprint.output"])
    assert len(prints) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("call", SDKS)
async def test_full_is_verbatim_in_the_form_of_the_conventions(secretive: Llm, call: Any, *, stream: bool) -> None:
    with metered({"P402_CONTENT_MODE": "full"}) as spans:
        await call(secretive, stream=stream)
        told = spans.only()
    assert told["p402.content_mode"] == "full"
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": SYSTEM}]},
        {"role": "user", "parts": [{"type": "text", "content": USER}]},
    ]
    [reason] = told["gen_ai.response.finish_reasons"]
    assert json.loads(told["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": ANSWER}], "finish_reason": reason}
    ]


@pytest.mark.parametrize("call", SDKS)
async def test_redacted_is_without_what_can_be_recognised(secretive: Llm, call: Any) -> None:
    with metered({"P402_CONTENT_MODE": "redacted"}) as spans:
        await call(secretive, stream=True)
        told = spans.only()
    assert told["p402.content_mode"] == "redacted"
    assert "zebra-prompt-7732 [email]" in told["gen_ai.input.messages"]
    assert "zebra-answer-7733 [phone]" in told["gen_ai.output.messages"]
    assert "jane.doe" not in str(told)
    assert "1234567" not in str(told)


def _quotes(calls: list[ReadableSpan]) -> bool:
    return "zebra" in str([dict(span.attributes or {}) for span in calls])


def _told(mode: ContentMode, body: Any, answer: str = "") -> dict[str, str]:
    return Content(mode, b"k" * 32).of(json.dumps(body).encode(), [answer], "stop")


def test_tools_and_media_are_told_by_kind_and_media_never_by_content() -> None:
    messages = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,zebra"}}]},
        {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "find", "arguments": "{}"}}]},
        {"role": "tool", "content": "found"},
        {"type": "function_call_output", "output": "done"},
    ]
    told = _told(ContentMode.FULL, {"messages": messages})["gen_ai.input.messages"]
    assert "zebra" not in told
    assert json.loads(told)[0]["parts"] == [{"type": "image_url"}]
    assert json.loads(told)[1]["parts"][0]["content"] == '{"name": "find", "arguments": "{}"}'
    assert [part["content"] for message in json.loads(told)[2:] for part in message["parts"]] == ["found", "done"]


def test_length_is_bounded_and_a_secret_is_not_cut_in_half() -> None:
    long = "word " * 6_552 + "sk-proj-abcdefghijklmnop12345"  # the cut would go through the key
    messages = [{"role": "user", "content": long}, {"role": "user", "content": "more " * 100_000}]
    for mode in (ContentMode.REDACTED, ContentMode.FULL):
        told = _told(mode, {"messages": messages}, "answer " * 100_000)
        assert 30_000 < len(told["gen_ai.input.messages"]) < 34_000
        assert 30_000 < len(told["gen_ai.output.messages"]) < 34_000
        assert "sk-pro" not in told["gen_ai.input.messages"]


@pytest.mark.parametrize(
    "body", [[], {"messages": [None, 7, {"content": {"x": 1}}, {"role": 3}]}, {"contents": "x"}, {}]
)
@pytest.mark.parametrize("mode", list(ContentMode))
def test_requests_of_any_form_are_told_without_an_error(mode: ContentMode, body: Any) -> None:
    assert _told(mode, body)["p402.content_mode"] == mode.value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("write to jane.doe+x@mail.acme.example.", "write to [email]."),
        ("call +49 30 1234567 or (030) 123-4567", "call [phone] or [phone]"),
        ("card 4111 1111 1111 1111 or 5500000000000004", "card [card] or [card]"),
        ("IBAN DE89 3704 0044 0532 0130 00, GB82WEST12345698765432", "IBAN [iban], [iban]"),
        ("sk-proj-abcdefghijklmnop1234", "[key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "[key]"),
        ("Authorization: Bearer abc.def-ghi_jkl", "Authorization: [key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "[jwt]"),
        ("password: hunter2hunter", "[secret]"),
        ("DB_PASSWORD=hunter2secret", "DB_[secret]"),
        ("OPENAI_API_KEY=abcdef-ghijkl", "OPENAI_[secret]"),
        ("AWS_SECRET_ACCESS_KEY='abc/def+ghi'", "AWS_SECRET_[secret]'"),
        ("SECRET_KEY = 'not-that-secret'", "[secret]'"),
        ('{"client_secret": "zzzzyyyyxxxx", "accessToken": "abcdef"}', '{"client_[secret]", "access[secret]"}'),
        ("SMTP_PASS=hunter2", "SMTP_[secret]"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "[key]"),
        ('{"Authorization": "Token abcdefgh"}', '{"[key]"}'),
        ("curl -H 'Proxy-Authorization: Basic dXNlcjpwYXNzd29yZDE='", "curl -H 'Proxy-[key]'"),
        ("a header, Basic dXNlcjpwYXNzd29yZDEy, is sent", "a header, [key], is sent"),
        ("postgresql://user:pw123@host/db", "postgresql://[url-password]@host/db"),
        ("a1b2c3d4e5f60718293a4b5c6d7e8f90", "[token]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE+/a=\n-----END RSA PRIVATE KEY-----", "[private-key]"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE and no end", "[private-key]"),
    ],
)
def test_what_has_a_form_is_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "In 2024 there were 1234567 people and 3.14159265 pies; see §12.3 of 2026-11-23.",
        "The key point of the token ring is keyboard-shortcuts-overview.",
        "order 12345678",
        "A basic understanding of Basic JavaScript will pass: everything else is basic arithmetic.",
        "Authorization: who may approve? The secret of a token_count=123456 is the tokenizer.",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1-",
        "aA1",
        "x@",
        "a.b@c.",
        "AB12 ",
        "-----BEGIN PRIVATE KEY-----",
        "sk-",
        "1 ",
        "Basic ",
        "token",
        "_pass=",
        "-eyJ",
    ],
)
def test_redaction_of_hostile_text_takes_no_longer_than_a_blink(piece: str) -> None:
    redact((piece * 32_768)[:32_768])  # the test's time limit would stop a pattern that explodes


def test_no_pattern_can_be_matched_in_more_ways_than_a_text_has_characters() -> None:
    """What is repeated without bound has nothing of a variable length in it, and so nothing to try again."""
    named = [*(pattern for _, pattern in redaction._PATTERNS), redaction._IBAN, redaction._CARD, redaction._PHONE]
    for pattern in named:
        trees = [tree for _, most, tree in _repeats(_parser.parse(pattern.pattern)) if most is _parser.MAXREPEAT]
        assert all(least == most for tree in trees for least, most, _ in _repeats(tree)), pattern.pattern


def _repeats(tree: Any) -> Iterator[tuple[int, int, Any]]:
    """Find every repetition in a parsed pattern, at any depth."""
    for operation, argument in tree:
        parts = argument if isinstance(argument, tuple) else ()
        if str(operation).endswith("_REPEAT"):
            yield argument
        for part in parts:
            for inner in part if isinstance(part, list) else [part]:
                if isinstance(inner, _parser.SubPattern):
                    yield from _repeats(inner)


async def test_aborted_call_tells_no_more_than_its_mode(secretive: Llm) -> None:
    def cut(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError(USER)

    with metered() as spans:
        with httpx2.Client(transport=httpx2.MockTransport(cut)) as client, pytest.raises(httpx2.ReadError):
            client.post(f"{secretive.url}/v1/chat/completions", json={"model": "m", "messages": [USER]})
        assert not _quotes(spans.calls)
        assert spans.calls[0].events == ()
