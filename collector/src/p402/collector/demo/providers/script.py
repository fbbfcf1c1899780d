"""What a mock provider is asked and what it replies, before either takes a provider's wire format.

The default script works without a tokenizer, so that anyone can check its counts by hand:

* input tokens: the UTF-8 bytes of all text in the request, divided by four, rounded up;
* output tokens: as many as the prompt asks for in the words ``in 10,000 tokens``, else a quarter of the input and 40
  more; never more than the request's limit (``max_tokens`` and its equivalents).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from p402.vocabulary import Usage

__all__ = ["ProviderCall", "Reply", "ToolCall", "default_script", "output_limit", "pieces"]


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One request as it reached a provider."""

    provider: str
    """``gen_ai.provider.name``: ``openai``, ``anthropic`` or ``gcp.gemini``."""
    path: str
    model: str
    stream: bool
    body: dict[str, Any]
    headers: dict[str, str]
    """Names in lower case."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks the application to call a tool."""

    name: str
    arguments: str
    """As JSON."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says and what it counts. As in `Usage`, the totals include the details.

    Raises:
        ValueError: if the counts contradict each other.
    """

    text: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """All tokens written to a cache, those kept for an hour among them."""
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    tool: ToolCall | None = None
    """Instead of the text; OpenAI's formats only."""

    def __post_init__(self) -> None:
        usage = Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_input_tokens=self.cache_read_tokens,
            cache_write_input_tokens=self.cache_write_tokens,
            cache_write_1h_input_tokens=self.cache_write_1h_tokens,
            reasoning_output_tokens=self.reasoning_tokens,
        )
        if contradiction := usage.contradiction():
            raise ValueError(f"No provider replies like this: {contradiction}.")


def default_script(call: ProviderCall) -> Reply:
    """Answer any call with counts that follow from the request alone (see the top of this file)."""
    prompt = "".join(_texts(call.body))
    input_tokens = _tokens(prompt)
    asked = _ASKED_LENGTH.search(prompt)
    wanted = int(asked[1].replace(",", "")) if asked else 40 + input_tokens // 4
    limit = output_limit(call)
    output_tokens = wanted if limit is None else min(wanted, limit)
    size = 4 * output_tokens
    return Reply((_PROSE * (size // len(_PROSE) + 1))[:size], input_tokens, output_tokens)


def output_limit(call: ProviderCall) -> int | None:
    """Find the most output tokens that the request allows; None when it sets no limit."""
    settings = {**call.body, **call.body.get("generationConfig", {})}
    limits = (settings.get(name) for name in _LIMITS)
    return next((limit for limit in limits if isinstance(limit, int)), None)


def pieces(text: str) -> list[str]:
    """Cut a reply into the pieces of a stream: at least one, at most 24, and no tiny ones."""
    size = max(12, -(-len(text) // 24))
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]


_ASKED_LENGTH = re.compile(r"\bin (\d[\d,]*) tokens\b")
_LIMITS = ("max_completion_tokens", "max_output_tokens", "maxOutputTokens", "max_tokens")
_TEXT_KEYS = frozenset({"content", "input", "instructions", "system", "text"})
_PROSE = (
    "The document is in order on the whole. Three points deserve attention: the liability cap does not cover breaches "
    "of confidence, the notice period is shorter than the policy asks for, and the governing law is left open. "
)


def _texts(node: object, key: str = "") -> Iterator[str]:
    if isinstance(node, str):
        if key in _TEXT_KEYS:
            yield node
    elif isinstance(node, dict):
        for name, child in node.items():
            yield from _texts(child, name)
    elif isinstance(node, list):
        for child in node:
            yield from _texts(child, key)


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)
