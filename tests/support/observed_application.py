"""An application that is observed by everybody: each call of OpenAI and Anthropic, sync and async, plain and streamed.

It runs in the environment ``other-instrumentations`` under ``opentelemetry-instrument`` and knows nothing of it. Each call
has a model of its own, so that a test can tell which spans are about which call.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anthropic
import openai
from opentelemetry import context
from opentelemetry.baggage.propagation import W3CBaggagePropagator

BASE = sys.argv[1]
PROMPT = sys.argv[2]
MESSAGES: Any = [{"role": "system", "content": PROMPT}, {"role": "user", "content": PROMPT}]
ASKED: Any = {"max_tokens": 500, "messages": MESSAGES[1:], "system": PROMPT}


def main() -> None:
    """Answer a request that brought baggage, as a server does."""
    token = context.attach(W3CBaggagePropagator().extract({"baggage": "employee=jane.doe%40acme.example,secret=zebra"}))
    try:
        all_calls()
    finally:
        context.detach(token)


def all_calls() -> None:
    gpt = openai.OpenAI(api_key="k", base_url=f"{BASE}/v1")
    claude = anthropic.Anthropic(api_key="k", base_url=BASE)
    gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    chunks: Any = gpt.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
    assert list(chunks)
    gpt.responses.create(model="gpt-4.1", input=PROMPT)
    gpt.embeddings.create(model="text-embedding-3-small", input=PROMPT)
    claude.messages.create(model="claude-opus-4-5", **ASKED)
    with claude.messages.stream(model="claude-haiku-4-5", **ASKED) as answer:
        assert answer.get_final_text()
    asyncio.run(async_calls())


async def async_calls() -> None:
    gpt = openai.AsyncOpenAI(api_key="k", base_url=f"{BASE}/v1")
    claude = anthropic.AsyncAnthropic(api_key="k", base_url=BASE)
    await gpt.chat.completions.create(model="gpt-4.1-mini", messages=MESSAGES)
    chunks: Any = await gpt.chat.completions.create(model="gpt-4.1-nano", messages=MESSAGES, stream=True)
    assert [chunk async for chunk in chunks]
    events: Any = await gpt.responses.create(model="gpt-4-turbo", input=PROMPT, stream=True)
    assert [event async for event in events]
    await claude.messages.create(model="claude-sonnet-4-5", **ASKED)
    stream: Any = await claude.messages.create(model="claude-sonnet-4-0", stream=True, **ASKED)
    assert [event async for event in stream]


if __name__ == "__main__":
    main()
