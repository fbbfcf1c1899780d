"""An application that the end-to-end test runs under ``opentelemetry-instrument``: every SDK, sync and async, plain and
streamed, attributed in each way there is. It knows nothing of the collector."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anthropic
import openai
from google import genai
from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from p402.instrumentation import attribution, session

BASE = sys.argv[1]
OPTIONS: Any = {"base_url": BASE}
MESSAGES: Any = [{"role": "user", "content": "Is this contract in order?"}]


def main() -> None:
    gpt = openai.OpenAI(api_key="k", base_url=f"{BASE}/v1")
    claude = anthropic.Anthropic(api_key="k", base_url=BASE)
    gemini = genai.Client(api_key="k", http_options=OPTIONS)
    with attribution(project="contracts", client="globex", employee="e-1042"), session("review-7"):
        claude.messages.create(model="claude-opus-4-5", max_tokens=12_000, messages=MESSAGES)
        with claude.messages.stream(model="claude-haiku-4-5", max_tokens=500, messages=MESSAGES) as answer:
            assert answer.get_final_text()
        gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        chunks: Any = gpt.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
        assert all(chunk.choices for chunk in chunks), "a chunk that the application did not ask for"
        gemini.models.generate_content(model="gemini-2.5-flash", contents="Summarise.")
        asyncio.run(async_calls())
    answer_a_request_that_brings_baggage(gpt)
    gpt.chat.completions.create(model="gpt-unheard-of", messages=MESSAGES)


async def async_calls() -> None:
    claude = anthropic.AsyncAnthropic(api_key="k", base_url=BASE)
    gpt = openai.AsyncOpenAI(api_key="k", base_url=f"{BASE}/v1")
    gemini = genai.Client(api_key="k", http_options=OPTIONS).aio
    await claude.messages.create(model="claude-sonnet-4-5", max_tokens=500, messages=MESSAGES)
    events: Any = await gpt.responses.create(model="gpt-4.1", input="Extract the clauses.", stream=True)
    assert [event async for event in events]
    parts = await gemini.models.generate_content_stream(model="gemini-2.5-pro", contents="Compare.")
    assert [part async for part in parts]
    await gemini.aclose()


def answer_a_request_that_brings_baggage(gpt: openai.OpenAI) -> None:
    """As a server does: the caller's baggage becomes the context in which the request is answered."""
    carrier = {"baggage": "p402.project=intake,p402.employee=e-7,p402.session=inbound-1,secret=x"}
    token = context.attach(W3CBaggagePropagator().extract(carrier))
    try:
        assert baggage.get_baggage("p402.employee") == "e-7"
        gpt.embeddings.create(model="text-embedding-3-small", input="a clause")
    finally:
        context.detach(token)


if __name__ == "__main__":
    main()
