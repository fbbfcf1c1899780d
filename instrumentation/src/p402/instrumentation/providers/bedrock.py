"""Amazon Bedrock's dialect: converse and invoke, at once and in a stream; the model is in the path.

``converse`` is one API for all models. ``invoke`` passes through what the model's maker speaks, so it is read as
Anthropic's or as one of a few simpler ones; where the body tells no usage, Bedrock's own metrics do.
Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, .../API_runtime_TokenUsage.html
and the models' parameters in the user guide. Counts of input come *without* what the cache read and wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from p402.instrumentation.providers import anthropic
from p402.instrumentation.providers.facts import Answer, RequestFacts, count, text_of
from p402.vocabulary import Usage

__all__ = ["PATH", "PROVIDER", "metrics_of", "read", "read_request"]

PATH = re.compile(r"/model/(.+)/(converse|converse-stream|invoke|invoke-with-response-stream)$")
PROVIDER = "aws.bedrock"
_METRICS = "amazon-bedrock-invocationMetrics"
_HEADERS = {
    "inputTokenCount": "x-amzn-bedrock-input-token-count",
    "outputTokenCount": "x-amzn-bedrock-output-token-count",
    "cacheReadInputTokenCount": "x-amzn-bedrock-cache-read-input-token-count",
    "cacheWriteInputTokenCount": "x-amzn-bedrock-cache-write-input-token-count",
}


def read_request(path: str, body: Mapping[str, Any]) -> RequestFacts | None:
    """Read a request; of a model's or a profile's ARN, what comes after its last slash is the model."""
    parts = PATH.search(path)
    if parts is None:
        return None
    model = unquote(parts[1]).rsplit("/", 1)[-1]
    embeds = parts[2] == "invoke" and "embed" in model
    limit = count(body.get("inferenceConfig"), "maxTokens") or count(body, "max_tokens", "max_gen_len")
    return RequestFacts(
        operation="embeddings" if embeds else "chat",
        model=model,
        stream=parts[2].endswith("stream"),
        max_tokens=limit or None,
    )


def read(document: Mapping[str, Any], answer: Answer) -> None:
    """Read a body, or one event; an event of ``converse-stream`` is one field, named as the event is."""
    if _METRICS in document and answer.usage is None:
        answer.usage = _usage(document[_METRICS])
    told = document.get("serviceTier") or (document.get("metadata") or {}).get("serviceTier")
    tier = (text_of(told.get("type")) if isinstance(told, Mapping) else None) or answer.service_tier
    if isinstance(document.get("type"), str):  # Claude
        anthropic.read(document, answer)
    elif "prompt_token_count" in document or "generation" in document:
        _read_llama(document, answer)
    elif "inputTextTokenCount" in document:
        _read_titan(document, answer)
    else:
        _read_converse(document, answer)
    answer.service_tier = tier or answer.service_tier  # Bedrock's goes before that of Anthropic's body
    if _METRICS in document:
        answer.usage_is_final = True


def metrics_of(headers: Mapping[str, str]) -> bytes | None:
    """Write the counts and the tier in the headers of ``invoke`` as an event of Bedrock's streams; None without any."""
    counts = {name: int(value) for name, header in _HEADERS.items() if (value := headers.get(header, "")).isdecimal()}
    tier = headers.get("x-amzn-bedrock-service-tier")
    event = {**({_METRICS: counts} if counts else {}), **({"serviceTier": {"type": tier}} if tier else {})}
    return json.dumps(event).encode() if event else None


def _read_converse(document: Mapping[str, Any], answer: Answer) -> None:
    """Read ``converse``, and Nova's ``invoke``, which has the same words."""
    for failure in ("exception", "error"):
        answer.failed(document.get(failure), "type")
    for part in (document, document.get("messageStop") or {}):
        answer.finished(part.get("stopReason"))
    start = (document.get("contentBlockStart") or {}).get("start") or {}
    delta = (document.get("contentBlockDelta") or {}).get("delta") or {}
    output = document.get("output")
    message = output.get("message") if isinstance(output, Mapping) else None
    for block in (start, delta, *((message or {}).get("content") or ())):
        _read_block(block, answer)
    usage = (document.get("metadata") or document).get("usage")
    if isinstance(usage, Mapping):
        answer.usage = _usage(usage)
        answer.usage_is_final = True


def _read_block(block: Mapping[str, Any], answer: Answer) -> None:
    answer.add_text(block.get("text"))
    thought = block.get("reasoningContent") or {}
    answer.add_text(thought.get("text") or (thought.get("reasoningText") or {}).get("text"))
    tool = block.get("toolUse") or {}
    answer.add_text(tool.get("name"))
    if tool.get("input"):
        answer.add_text(tool["input"] if isinstance(tool["input"], str) else json.dumps(tool["input"]))


def _read_llama(document: Mapping[str, Any], answer: Answer) -> None:
    answer.add_text(document.get("generation"))
    answer.finished(document.get("stop_reason"))
    for name in ("prompt_token_count", "generation_token_count"):  # in a stream, the prompt's comes once
        answer.counts[name] = count(document, name) or answer.counts.get(name, 0)
    answer.usage = Usage(
        input_tokens=count(answer.counts, "prompt_token_count"),
        output_tokens=count(answer.counts, "generation_token_count"),
    )
    answer.usage_is_final = bool(answer.finish_reasons)


def _read_titan(document: Mapping[str, Any], answer: Answer) -> None:
    results = document.get("results") or [document]
    for result in results:
        answer.add_text(result.get("outputText"))
        answer.finished(result.get("completionReason"))
    answer.usage = Usage(
        input_tokens=count(document, "inputTextTokenCount"),
        output_tokens=sum(count(result, "tokenCount", "totalOutputTextTokenCount") for result in results),
    )
    answer.usage_is_final = True


def _usage(usage: object) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    read_from_cache = count(usage, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = count(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    for_an_hour = sum(
        count(detail, "inputTokens") for detail in usage.get("cacheDetails") or () if text_of(detail.get("ttl")) == "1h"
    )
    return Usage(
        input_tokens=count(usage, "inputTokens", "inputTokenCount") + read_from_cache + written,
        output_tokens=count(usage, "outputTokens", "outputTokenCount"),
        cache_read_input_tokens=read_from_cache,
        cache_write_input_tokens=written,
        cache_write_1h_input_tokens=min(for_an_hour, written),
    )
