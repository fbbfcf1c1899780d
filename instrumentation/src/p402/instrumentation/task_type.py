"""Tells what kind of work a request is, from its shape and a few words. Pure, deterministic, and cheap.

In this order: the kind of API, what form of answer is asked for, words in the instructions and in the last message, and
how the conversation looks. What fits none of these stays unknown. The application knows better: `task_type=` wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

from p402.instrumentation.messages import Ends

__all__ = ["Confidence", "infer", "is_structured"]


class Confidence(StrEnum):
    """How sure an inferred task type is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


_APIS = (
    ("/images/", "image"),
    ("/audio/transcriptions", "transcription"),
    ("/audio/translations", "translation"),
    ("/audio/speech", "speech"),
    ("/moderations", "moderation"),
    ("/rerank", "rerank"),
)
_FILL_IN_THE_MIDDLE = ("<fim_", "<|fim", "<fim>")
_WORDS = {  # stems, in lower case; the first that is found counts
    "complete the code": "code_completion",
    "complete the following code": "code_completion",
    "complete this function": "code_completion",
    "code completion": "code_completion",
    "code review": "code_review",
    "review the code": "code_review",
    "review this code": "code_review",
    "pull request": "code_review",
    "translat": "translation",
    "summari": "summarisation",
    "tl;dr": "summarisation",
    "classif": "classification",
    "categori": "classification",
    "extract": "extraction",
}
_BY_STEM = tuple(
    (stem, tuple((word, task) for word, task in _WORDS.items() if stem in word))
    for stem in ("complet", "review", "pull request", "translat", "summari", "tl;dr", "classif", "categori", "extract")
)
"""The same by what several have in common, so that most texts are searched for that only."""
_SEEN = 500
"""Characters that words are looked for in: of the instructions, and at the beginning of the last message."""
_FORM_FIELDS = frozenset({"response_format", "text", "generationConfig", "output_config"})
_FORMS = frozenset({"classification", "extraction"})


def infer(operation: str, path: str, body: Mapping[str, Any], ends: Ends) -> tuple[str, Confidence] | None:
    """Give the task type and how sure it is, or None."""
    if (certain := _by_api(operation, path, body, ends)) is not None:
        return certain, Confidence.HIGH
    structured = is_structured(body)
    for text, sure in ((ends.system, Confidence.MEDIUM), (ends.opening, Confidence.LOW)):
        if text and (task := _by_words(text[:_SEEN].lower())) is not None:
            return task, Confidence.HIGH if structured and task in _FORMS else sure
    if structured:
        return "extraction", Confidence.MEDIUM
    if body.get("tools"):
        return "agent", Confidence.MEDIUM
    if ends.messages > 1:
        return "chat", Confidence.MEDIUM
    return ("qa", Confidence.LOW) if ends.closing.rstrip().endswith("?") else None


def _by_api(operation: str, path: str, body: Mapping[str, Any], ends: Ends) -> str | None:
    if operation == "embeddings":
        return "embedding"
    if (task := _by_path(path)) is not None:
        return task
    if body.get("suffix"):
        return "code_completion"
    if "<" in ends.closing and any(mark in ends.closing for mark in _FILL_IN_THE_MIDDLE):
        return "code_completion"
    return _medium(body)


@lru_cache(maxsize=256)
def _by_path(path: str) -> str | None:
    return next((task for part, task in _APIS if part in path), None)


def _by_words(text: str) -> str | None:
    for stem, words in _BY_STEM:
        if stem in text:
            for word, task in words:
                if word in text:
                    return task
    return None


def _medium(body: Mapping[str, Any]) -> str | None:
    """Give what is to be made if that is no text."""
    config = body.get("generationConfig")
    wanted = config.get("responseModalities") if isinstance(config, dict) else body.get("modalities")
    if not isinstance(wanted, list):
        return None
    media = {str(one).lower() for one in wanted}
    return "image" if "image" in media else "speech" if "audio" in media else None


def is_structured(body: Mapping[str, Any]) -> bool:
    """Tell whether the answer has to be of a given form: a schema, or the call of one given tool."""
    for name in () if _FORM_FIELDS.isdisjoint(body) else _FORM_FIELDS:
        asked = body.get(name)
        if isinstance(asked, dict):
            form = asked.get("format")
            kind = form.get("type") if isinstance(form, dict) else asked.get("type")
            if kind == "json_schema" or asked.get("responseSchema") or asked.get("responseJsonSchema"):
                return True
    choice, tools = body.get("tool_choice"), body.get("tools")
    if choice is None:
        return False
    forced = choice in ("required", "any") or (isinstance(choice, dict) and choice.get("type") not in ("auto", "none"))
    return forced and isinstance(tools, list) and len(tools) == 1
