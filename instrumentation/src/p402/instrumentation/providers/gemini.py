"""Gemini's dialect: generateContent, streamGenerateContent and embedContent, of the Gemini API and of Vertex AI.

Sources: https://ai.google.dev/api/generate-content#UsageMetadata and https://ai.google.dev/api/embeddings. Gemini counts thoughts beside the candidates, and
the prompts of its own tools beside the prompt; our totals include both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from p402.instrumentation.providers.facts import Answer, RequestFacts, count, text_of
from p402.vocabulary import Usage

__all__ = ["PATH", "PROVIDER", "read", "read_request"]

PATH = re.compile(
    r"/(?:models|tunedModels|endpoints)/[^/:]+:(?:(?:g|streamG)enerateContent|embedContent|batchEmbedContents)$"
)
PROVIDER = "gcp.gemini"


def read_request(path: str, body: Mapping[str, Any]) -> RequestFacts | None:
    """Read a request to ``…/models/{model}:generateContent`` and the like; the model is in the path."""
    before, _, last = path.rpartition("/")
    model, _, method = last.partition(":")
    kind = before.rpartition("/")[2]
    if kind != "models":  # a model that was tuned, whose name alone says nothing
        model = f"{kind}/{model}"
    if "mbedContent" in method:
        told = isinstance(body.get("content"), dict) or isinstance(body.get("requests"), list)
        return RequestFacts(operation="embeddings", model=model, often_untold="Gemini's embeddings") if told else None
    if not isinstance(body.get("contents"), list):
        return None
    limit = count(body.get("generationConfig"), "maxOutputTokens")
    stream = method == "streamGenerateContent"
    return RequestFacts(operation="generate_content", model=model, stream=stream, max_tokens=limit or None)


def read(document: Mapping[str, Any], answer: Answer) -> None:
    """Read a response, or one chunk of its stream: the last usage wins, since each is cumulative."""
    answer.identify(document.get("responseId"), document.get("modelVersion"))
    answer.failed(document.get("error"), "status")
    candidates = document.get("candidates") or ()
    for candidate in candidates:
        answer.finished(candidate.get("finishReason"))
        for part in (candidate.get("content") or {}).get("parts") or ():
            answer.add_text(part.get("text"))
            if part.get("functionCall"):
                answer.add_text(str(part["functionCall"]))
    usage = document.get("usageMetadata")
    if isinstance(usage, Mapping):
        answer.usage = _usage(usage)
        answer.service_tier = text_of(usage.get("serviceTier")) or text_of(usage.get("trafficType"))  # Vertex AI's
        answer.usage_is_final = not candidates or bool(answer.finish_reasons)


def _usage(usage: Mapping[str, Any]) -> Usage:
    thoughts = count(usage, "thoughtsTokenCount")
    given = (usage.get("promptTokensDetails"), usage.get("toolUsePromptTokensDetails"))
    made = usage.get("candidatesTokensDetails")
    return Usage(
        input_tokens=count(usage, "promptTokenCount") + count(usage, "toolUsePromptTokenCount"),
        output_tokens=count(usage, "candidatesTokenCount") + thoughts,
        cache_read_input_tokens=count(usage, "cachedContentTokenCount"),
        reasoning_output_tokens=thoughts,
        audio_input_tokens=_of_modality("AUDIO", *given),
        audio_output_tokens=_of_modality("AUDIO", made),
        audio_cache_read_input_tokens=_of_modality("AUDIO", usage.get("cacheTokensDetails")),
        image_input_tokens=_of_modality("IMAGE", *given),
        image_output_tokens=_of_modality("IMAGE", made),
    )


def _of_modality(modality: str, *details: object) -> int:
    return sum(
        count(detail, "tokenCount")
        for group in details
        for detail in (group if isinstance(group, list) else ())
        if isinstance(detail, Mapping) and detail.get("modality") == modality
    )
