"""A settlement as the span that it stands for, so that it takes the way of every call (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from p402.collector.api.feedback_schema import Settlement
from p402.collector.api.problem import BadRequest
from p402.collector.pipeline.records import SpanRecord
from p402.collector.storage.decision_rows import Decided
from p402.decisions import Question
from p402.vocabulary import attributes, rfc3339

__all__ = ["span_of"]

_SCOPE = "p402.settlement"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_USAGE = {
    "input_tokens": attributes.GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": attributes.GEN_AI_USAGE_OUTPUT_TOKENS,
    "cache_read_input_tokens": attributes.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_write_input_tokens": attributes.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
    "cache_write_1h_input_tokens": attributes.P402_USAGE_CACHE_WRITE_1H_INPUT_TOKENS,
    "reasoning_output_tokens": attributes.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
    "audio_input_tokens": attributes.GEN_AI_USAGE_AUDIO_INPUT_TOKENS,
    "audio_output_tokens": attributes.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS,
    "audio_cache_read_input_tokens": attributes.GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS,
    "image_input_tokens": attributes.GEN_AI_USAGE_IMAGE_INPUT_TOKENS,
    "image_output_tokens": attributes.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS,
}


def span_of(decided: Decided, body: Settlement, now: datetime) -> SpanRecord:
    """Write a settlement as the span that it stands for, so that it takes the way of every call.

    Raises:
        BadRequest: if the call is said to have been made after tomorrow.
    """
    started_at, ended_at = _times(decided, body, now)
    assert body.usage is not None
    digest = hashlib.sha256(f"p402 settlement of {decided.id}".encode()).digest()
    if body.trace_id is not None and body.span_id is not None:
        digest = bytes.fromhex(body.trace_id + body.span_id)
    asked = decided.question
    counts = {name: count for name, count in body.usage.model_dump().items() if count}
    found: Mapping[str, Any] = {
        **Question.from_wire(asked).attribution.to_attributes(),
        attributes.GEN_AI_OPERATION_NAME: asked.get("operation", "chat"),
        attributes.GEN_AI_PROVIDER_NAME: asked["provider"],
        attributes.GEN_AI_REQUEST_MODEL: decided.decision.model,
        attributes.GEN_AI_RESPONSE_MODEL: body.model,
        attributes.GEN_AI_RESPONSE_ID: body.response_id,
        attributes.GEN_AI_USAGE_INPUT_TOKENS: 0,
        attributes.GEN_AI_USAGE_OUTPUT_TOKENS: 0,
        **{_USAGE[name]: count for name, count in counts.items()},
        attributes.P402_TASK_TYPE: asked.get("task_type"),
        attributes.P402_SERVICE_TIER: body.service_tier or asked.get("service_tier"),
        attributes.P402_LEASE: decided.id,
        attributes.P402_DECISION_VERDICT: decided.decision.verdict.value,
        attributes.P402_DECISION_RATIONALE: decided.decision.rationale,
    }
    return SpanRecord(
        trace_id=digest[:16],
        span_id=digest[16:24],
        parent_span_id=None,
        name=f"{asked.get('operation', 'chat')} {decided.decision.model}",
        started_ns=_nanoseconds(started_at),
        ended_ns=_nanoseconds(ended_at),
        failed=False,
        scope=_SCOPE,
        attributes={name: value for name, value in found.items() if value is not None},
        resource={},
    )


def _times(decided: Decided, body: Settlement, now: datetime) -> tuple[datetime, datetime]:
    """Give when the call began and ended; what is not said is between its decision and now, as far as the rest leaves it."""
    for name, moment in (("started_at", body.started_at), ("ended_at", body.ended_at)):
        if moment is not None and moment > now + _DAY:
            problem = f"must be at most a day after now, {rfc3339(now)}"
            raise BadRequest(f"{name} {problem}.", [{"pointer": f"#/{name}", "detail": problem}])
    ended_at = body.ended_at or max(now, body.started_at or now)
    return body.started_at or min(decided.decided_at, ended_at), ended_at


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
