"""The default script's counts, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from p402.collector.demo.providers import ProviderCall, Reply, default_script


def anthropic_call(text: str, max_tokens: int) -> ProviderCall:
    body = {"system": "Be exact.", "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
    return ProviderCall(
        "anthropic", "/v1/messages", "m", stream=False, body={**body, "max_tokens": max_tokens}, headers={}
    )


def test_default_script_counts_bytes_and_obeys_the_limit() -> None:
    reply = default_script(anthropic_call("Schön", max_tokens=1_000))
    assert (reply.input_tokens, reply.output_tokens) == (4, 41)  # 9 + 6 bytes; 40 and a quarter of 4
    assert len(reply.text) == 4 * 41
    assert default_script(anthropic_call("Schön", max_tokens=7)).output_tokens == 7


def test_default_script_writes_the_length_that_is_asked_for() -> None:
    document = "Review this in 10,000 tokens. ".ljust(4 * 2_847 - len("Be exact."), "x")
    reply = default_script(anthropic_call(document, max_tokens=12_000))
    assert (reply.input_tokens, reply.output_tokens) == (2_847, 10_000)
    assert default_script(anthropic_call(document, max_tokens=500)).output_tokens == 500


@pytest.mark.parametrize(
    "body",
    [
        {"generationConfig": {"maxOutputTokens": 5}, "contents": [{"parts": [{"text": "Hello you"}]}]},
        {"max_output_tokens": 5, "input": [{"role": "user", "content": "Hello you"}]},
        {"max_completion_tokens": 5, "messages": [{"role": "user", "content": "Hello you"}]},
        {"max_tokens": 5, "input": ["Hello ", "you"]},
    ],
)
def test_default_script_reads_every_provider_s_requests(body: dict[str, Any]) -> None:
    reply = default_script(ProviderCall("any", "/", "m", stream=False, body=body, headers={}))
    assert (reply.input_tokens, reply.output_tokens) == (3, 5)


def test_reply_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="cached tokens"):
        Reply("", input_tokens=10, output_tokens=1, cache_read_tokens=6, cache_write_tokens=6)
