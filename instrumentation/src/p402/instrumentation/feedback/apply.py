"""What a decision changes about a request: another model, a limit on the output (pure).

It is applied to each attempt, because an SDK that tries again sends the original again. A limit goes under the name that
the dialect has for it; a budget for thinking is cut with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from p402.decisions import Decision
from p402.instrumentation.providers import Route

__all__ = ["changed_body", "changed_path", "write_body"]

_LEAST_THINKING = 1_024  # Anthropic takes no smaller budget
_MODEL_IN_PATH = re.compile(r"(?P<before>.*/(?:deployments|models)/)[^/:]+(?=[/:])")
_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_OPENAIS = frozenset({"openai", "azure.ai.openai"})


def changed_body(route: Route, path: str, body: Mapping[str, Any], asked: str, decision: Decision) -> dict[str, Any]:
    """Give the body to be sent, which may be the same.

    Args:
        route: whose dialect it is in.
        path: where it is sent.
        body: parsed; is not changed.
        asked: the model that the application asks for.
        decision: one that goes ahead.
    """
    new = dict(body)
    if decision.model != asked and "model" in new:
        new["model"] = decision.model
        if route.provider in _OPENAIS and "max_tokens" in new and path.endswith("/chat/completions"):
            new["max_completion_tokens"] = new.pop("max_tokens")  # which every model there takes
    if decision.output_tokens is not None:
        _limit(route, path, new, max(1, decision.output_tokens))
    return new


def changed_path(path: str, asked: str, decision: Decision) -> str | None:
    """Give the path to be sent to, where the model is named there and is another one; else None."""
    if decision.model == asked or _MODEL_IN_PATH.match(path) is None:
        return None
    return _MODEL_IN_PATH.sub(lambda found: found["before"] + decision.model, path, count=1)


def write_body(body: Mapping[str, Any]) -> bytes:
    """Write a body as it is sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _limit(route: Route, path: str, body: dict[str, Any], most: int) -> None:
    match route.dialect.PROVIDER:
        case "gcp.gemini":
            _limit_gemini(body, most)
        case "ollama":
            body["options"] = {**(body.get("options") or {}), "num_predict": most}
        case "anthropic":
            body["max_tokens"] = most
            _limit_thinking(body, most)
        case "cohere":
            body["max_tokens"] = most
            if isinstance(thinking := body.get("thinking"), Mapping) and "token_budget" in thinking:
                body["thinking"] = {**thinking, "token_budget": min(thinking["token_budget"], most // 2)}
        case _:
            body[_limit_name(route, path, body)] = most


def _limit_name(route: Route, path: str, body: Mapping[str, Any]) -> str:
    """Give the name under which OpenAI's dialect has the limit: the one that is there, else the one of the endpoint."""
    if (given := next((name for name in _LIMITS if name in body), None)) is not None:
        return given
    if path.endswith("/responses"):
        return "max_output_tokens"
    chats = route.provider in _OPENAIS and path.endswith("/chat/completions")
    return "max_completion_tokens" if chats else "max_tokens"


def _limit_thinking(body: dict[str, Any], most: int) -> None:
    thinking = body.get("thinking")
    if not isinstance(thinking, Mapping) or type(budget := thinking.get("budget_tokens")) is not int:
        return
    if most <= _LEAST_THINKING:
        body["thinking"] = {"type": "disabled"}
    elif budget >= most:
        body["thinking"] = {**thinking, "budget_tokens": max(_LEAST_THINKING, most // 2)}


def _limit_gemini(body: dict[str, Any], most: int) -> None:
    name = "generation_config" if "generation_config" in body else "generationConfig"
    config = {**(body.get(name) or {}), "maxOutputTokens": most}
    config.pop("max_output_tokens", None)
    thinking = config.get("thinkingConfig")
    for budget in ("thinkingBudget", "thinking_budget"):  # the SDK sends either
        if isinstance(thinking, Mapping) and type(thinking.get(budget)) is int and thinking[budget] >= most:
            config["thinkingConfig"] = {**thinking, budget: most // 2}
    body[name] = config
