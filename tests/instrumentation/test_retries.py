"""Attempts at one logical call: a span each, one request id for all."""

from __future__ import annotations

import anthropic
import openai
import pytest
from google.genai.types import HttpRetryOptions
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.trace import SpanContext, StatusCode

from p402.instrumentation.retries import Attempt, Attempts
from support.metering import MESSAGES, Llm, Spans

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # by google-genai


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_retries_share_their_request(spans: Spans, llm: Llm, status: int) -> None:
    llm.providers.fail_next(status, times=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0.0)
        async with llm.openai(max_retries=2) as client:
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    first, second, third, other = [dict(span.attributes or {}) for span in spans.calls]
    assert len({span["p402.request"] for span in (first, second, third)}) == 1
    assert other["p402.request"] != first["p402.request"]
    assert [span.get("http.request.resend_count") for span in (first, second, third, other)] == [None, 1, 2, None]
    linked = [[(link.context, dict(link.attributes or {})) for link in span.links] for span in spans.calls]
    retry_of = {"p402.link": "retry_of"}
    assert linked == [[], [(spans.calls[0].context, retry_of)], [(spans.calls[1].context, retry_of)], []]
    for failed in (first, second):
        assert failed["error.type"] == str(status)
        assert failed["http.response.status_code"] == status
        assert "gen_ai.usage.input_tokens" not in failed
        assert "p402.usage.source" not in failed
    assert third["gen_ai.usage.input_tokens"] == 100
    assert "error.type" not in third


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside the aiohttp instrumentation"])
async def test_retries_of_gemini_send_no_count_but_share_their_request(
    spans: Spans,
    llm: Llm,
    beside: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    if beside:  # its span is the root of a trace, a new one for each attempt
        AioHttpClientInstrumentor().instrument(tracer_provider=spans.provider)
    llm.providers.fail_next(503)
    options = HttpRetryOptions(attempts=2, initial_delay=0.01, max_delay=0.01)
    try:
        async with llm.gemini(retry_options=options).aio as client:
            await client.models.generate_content(model="gemini-x", contents="Hm?")
    finally:
        if beside:
            AioHttpClientInstrumentor().uninstrument()
    first, second = [dict(span.attributes or {}) for span in spans.calls]
    assert first["p402.request"] == second["p402.request"]
    assert second["http.request.resend_count"] == 1


async def test_refused_call_has_an_error_without_its_message(spans: Spans, llm: Llm) -> None:
    llm.providers.fail_next(400)
    async with llm.openai() as client:
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    [span] = spans.calls
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert not span.events
    assert spans.only()["error.type"] == "400"
    assert "gen_ai.usage.input_tokens" not in spans.only()


async def test_refused_stream_has_an_error(spans: Spans, llm: Llm) -> None:
    llm.providers.fail_next(529)
    async with llm.anthropic(max_retries=0) as client:
        with pytest.raises(anthropic.APIStatusError):
            await client.messages.create(model="c", max_tokens=9, messages=MESSAGES, stream=True)
    assert spans.only()["error.type"] == "529"
    assert "gen_ai.usage.output_tokens" not in spans.only()


async def test_unreachable_provider_is_a_span_for_each_attempt(spans: Spans) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0.0)
        async with openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9", max_retries=1) as client:
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    first, second = [dict(span.attributes or {}) for span in spans.calls]
    assert first["error.type"] == second["error.type"] == "httpx2.ConnectError"
    assert first["p402.request"] == second["p402.request"]
    assert first["p402.stream.end"] == "failed"


def test_failed_attempt_is_continued_once_and_not_for_ever() -> None:
    now = 0.0
    names = iter(f"req_{number}" for number in range(9))
    attempts = Attempts(lambda: now, lambda: next(names))
    first = attempts.begin(1, "u", b"body", None)
    span = SpanContext(1, 2, is_remote=False)
    attempts.failed(first, span, 1, "u", b"body")
    assert attempts.begin(1, "u", b"other", None) == Attempt("req_1", 0)
    assert attempts.begin(2, "u", b"body", None) == Attempt("req_2", 0)
    assert attempts.begin(1, "u", b"body", 0) == Attempt("req_3", 0)
    again = attempts.begin(1, "u", b"body", None)
    assert again == Attempt("req_0", 1, span)
    assert attempts.begin(1, "u", b"body", None) == Attempt("req_4", 0)
    attempts.failed(again, span, 1, "u", b"body")
    now = 121.0
    assert attempts.begin(1, "u", b"body", 2) == Attempt("req_5", 2)


def test_what_fails_again_and_again_is_remembered_no_longer_and_no_oftener_than_anything_else() -> None:
    now = 0.0
    attempts = Attempts(lambda: now, lambda: "req")
    span = SpanContext(1, 2, is_remote=False)

    def fail() -> None:  # as the SDKs do that say themselves that it is no retry: a health check, a poll
        attempts.failed(attempts.begin(1, "u", b"body", 0), span, 1, "u", b"body")

    for _ in range(3_000):
        fail()
    assert len(attempts._failed) == 1_024
    now = 121.0
    fail()
    assert len(attempts._failed) == 1
    assert attempts.begin(1, "u", b"body", None).after == span
    assert attempts.begin(1, "u", b"body", None).after is None
