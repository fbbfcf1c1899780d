"""Ollama's own dialect: chat, generate and embed, whose streams are lines of JSON.

Source: https://docs.ollama.com/api. Its paths are those of many an application, so they count only at hosts that are
known as Ollama's: port 11434, or named in ``P402_OPENAI_HOSTS``. Its ``/v1`` paths speak OpenAI's dialect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from p402.instrumentation.providers.facts import Answer, RequestFacts, count, text_of
from p402.vocabulary import Usage

__all__ = ["PATH", "PROVIDER", "read", "read_request"]

PATH = re.compile(r"/api/(?:chat|generate|embed)/?$")
PROVIDER = "ollama"
_OPERATIONS = {"chat": "chat", "generate": "text_completion", "embed": "embeddings"}


def read_request(path: str, body: Mapping[str, Any]) -> RequestFacts | None:
    """Read a request to ``/api/chat``, ``/api/generate`` or ``/api/embed``; the first two stream unless told not to."""
    model = text_of(body.get("model"))
    if model is None:
        return None
    operation = _OPERATIONS[path.rsplit("/", 1)[-1]]
    stream = operation != "embeddings" and body.get("stream") is not False
    limit = count(body.get("options"), "num_predict")
    return RequestFacts(operation=operation, model=model, stream=stream, max_tokens=limit or None)


def read(document: Mapping[str, Any], answer: Answer) -> None:
    """Read a body, or one line of a stream; the counts are in the last."""
    answer.identify(None, document.get("model"))
    answer.finished(document.get("done_reason"))
    message = document.get("message") or {}
    answer.add_text(message.get("content"))
    answer.add_text(message.get("thinking"))
    answer.add_text(document.get("response"))
    answer.add_text(document.get("thinking"))
    for call in message.get("tool_calls") or ():
        answer.add_text(str(call.get("function")))
    if document.get("error"):
        answer.error = "error"
    if "prompt_eval_count" in document or "eval_count" in document:
        answer.usage = Usage(
            input_tokens=count(document, "prompt_eval_count"), output_tokens=count(document, "eval_count")
        )
        answer.usage_is_final = document.get("done") is not False
