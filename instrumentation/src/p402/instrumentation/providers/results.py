"""Which GETs bring the results of calls that were made earlier, and where in them each answer is. Pure.

Batches, whose answers come as lines of JSON in a file or inside of the batch's own description, and OpenAI's background
responses, which are asked for until they are there. Sources: https://docs.anthropic.com/en/api/retrieving-message-batch-results,
https://platform.openai.com/docs/guides/batch (its format is also that of Azure, Groq, Mistral and Together),
https://ai.google.dev/gemini-api/docs/batch-api and https://platform.openai.com/docs/guides/background.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from p402.instrumentation.providers import anthropic, gemini, openai
from p402.instrumentation.providers.facts import Dialect, text_of
from p402.instrumentation.providers.hosts import host_at

__all__ = ["Result", "Source", "results_at"]

_NONE: Mapping[str, str] = MappingProxyType({})


class Result(NamedTuple):
    """One answer."""

    body: Mapping[str, Any]
    """As the provider would have answered to the call by itself."""
    id: str
    """Names it where the body does not."""


_Read = Callable[[Mapping[str, Any], str], Sequence[Result] | None]
"""Finds the answers in a document of a download with this name; None if it is no document of this kind at all."""


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of GET that brings results."""

    path: re.Pattern[str]
    """Its first group names the download."""
    dialect: Dialect
    read: _Read
    lines: bool = True
    """Whether the body is a document for each line, rather than one."""
    service_tier: str | None = "batch"
    """How they all were served, unless each says so itself."""


def results_at(
    host: str, path: str, port: int | None = None, own_hosts: Mapping[str, str] = _NONE
) -> tuple[Source, str, str] | None:
    """Tell whether a GET of this path brings results: their kind, the provider, and the name of the download."""
    if _ANY.search(path):
        for source in _SOURCES:
            if found := source.path.search(path):
                known = host_at(host, port, path, own_hosts)
                return source, known.provider if known else source.dialect.PROVIDER, found[1]
    return None


def _of_anthropic(line: Mapping[str, Any], _: str) -> Sequence[Result] | None:
    result = line.get("result")
    if "custom_id" not in line or not isinstance(result, Mapping):
        return None
    message = result.get("message")
    return [Result(message, "")] if isinstance(message, Mapping) else []


def _of_openai(line: Mapping[str, Any], name: str) -> Sequence[Result] | None:
    if "custom_id" not in line or not ("response" in line or "error" in line):
        return None
    response = line.get("response")
    body = response.get("body") if isinstance(response, Mapping) else None
    identity = text_of(line.get("id")) or f"{name}/{line['custom_id']}"
    return [Result(body, identity)] if isinstance(body, Mapping) else []


def _of_gemini_file(line: Mapping[str, Any], name: str) -> Sequence[Result] | None:
    if "response" not in line and "error" not in line:
        return None
    response = line.get("response")
    return [Result(response, f"{name}/{line.get('key')}")] if isinstance(response, Mapping) else []


def _of_gemini_batch(operation: Mapping[str, Any], name: str) -> Sequence[Result] | None:
    inlined: Any = operation
    for field in (
        "metadata",
        "output",
        "inlinedResponses",
        "inlinedResponses",
    ):  # others' batches may have some of these
        inlined = inlined.get(field) if isinstance(inlined, Mapping) else None
    answers = [item.get("response") for item in inlined] if isinstance(inlined, list) else []
    return [Result(answer, f"{name}/{n}") for n, answer in enumerate(answers) if isinstance(answer, Mapping)]


def _of_background(response: Mapping[str, Any], _: str) -> Sequence[Result] | None:
    return [Result(response, "")] if response.get("background") is True and response.get("usage") else []


_SOURCES = (
    Source(re.compile(r"/v1/messages/(batches/[^/]+)/results/?$"), anthropic, _of_anthropic),
    Source(re.compile(r"/(files/[^/]+)/content/?$"), openai, _of_openai),
    Source(re.compile(r"/(files/[^/:]+):download$"), gemini, _of_gemini_file),
    Source(re.compile(r"/v1(?:(?:alpha|beta)\d?)?/(batches/[^/:]+)$"), gemini, _of_gemini_batch, lines=False),
    Source(re.compile(r"/(responses/resp_[^/]+)/?$"), openai, _of_background, lines=False, service_tier=None),
)
_ANY = re.compile(r"/(?:batches|files|responses)/")
