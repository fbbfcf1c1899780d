"""Other instrumentations at work in the same process."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.trace import Tracer

from support.metering import MESSAGES, Llm, Spans, scope


async def _call(llm: Llm) -> None:
    async with llm.openai() as client:
        await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)


@pytest.fixture
def other(spans: Spans) -> Tracer:
    return spans.provider.get_tracer("some.other.instrumentation")


@pytest.mark.parametrize(
    "attributes", [{"gen_ai.operation.name": "chat"}, {"openinference.span.kind": "LLM"}, {"llm.request.type": "chat"}]
)
async def test_outer_span_of_the_same_call_is_named(
    spans: Spans, other: Tracer, llm: Llm, attributes: dict[str, str]
) -> None:
    with other.start_as_current_span("chat gpt-4o", attributes=attributes):
        await _call(llm)
    assert spans.only()["p402.outer_span.scope"] == "some.other.instrumentation"
    [outer] = [span for span in spans.all if scope(span) == "some.other.instrumentation"]
    assert outer.context
    assert spans.calls[0].parent
    assert spans.calls[0].parent.span_id == outer.context.span_id


@pytest.mark.parametrize("attributes", [{}, {"gen_ai.operation.name": "invoke_agent"}])
async def test_span_of_something_else_is_not(spans: Spans, other: Tracer, llm: Llm, attributes: dict[str, str]) -> None:
    with other.start_as_current_span("work", attributes=attributes):
        await _call(llm)
    assert "p402.outer_span.scope" not in spans.only()


async def test_anthropics_own_span_is_recognised(spans: Spans, llm: Llm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: spans.provider)
    async with llm.anthropic() as client:
        await client.messages.create(model="claude-x", max_tokens=9, messages=MESSAGES)
    assert {scope(span) for span in spans.all} == {"com.anthropic.sdk.python", "p402.instrumentation"}
    assert spans.only()["p402.outer_span.scope"] == "com.anthropic.sdk.python"


async def test_no_context_stays_attached(spans: Spans, llm: Llm, caplog: pytest.LogCaptureFixture) -> None:
    async with llm.openai() as client:
        stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        assert trace.get_current_span() is trace.INVALID_SPAN
        async for _ in stream:
            assert trace.get_current_span() is trace.INVALID_SPAN
    assert len(spans.calls) == 1
    assert "detach" not in caplog.text
