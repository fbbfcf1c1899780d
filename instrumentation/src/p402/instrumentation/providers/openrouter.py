"""OpenRouter's dialect: OpenAI's, and beside the usage what OpenRouter itself charges, in US dollars.

Source: https://openrouter.ai/docs/use-cases/usage-accounting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p402.instrumentation.providers import openai
from p402.instrumentation.providers.facts import Answer
from p402.instrumentation.providers.openai import PATH, read_request

__all__ = ["PATH", "PROVIDER", "read", "read_request"]

PROVIDER = "openrouter"


def read(document: Mapping[str, Any], answer: Answer) -> None:
    """Read a body or an event."""
    openai.read(document, answer)
    usage = document.get("usage")
    if isinstance(usage, Mapping) and type(usage.get("cost")) in {int, float}:
        answer.cost_usd = float(usage["cost"])
