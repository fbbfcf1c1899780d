"""Calls at Acme → what leaves Acme's services: spans as our instrumentation sends them, and evaluations, in OTLP.

Each call passes the decision of its department's policy, as at the gate of our instrumentation, by the same function; so what
its span says of verdict and rationale is what would have been said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.demo.acme.tasks import PROVIDERS
from p402.collector.demo.acme.work import Call
from p402.collector.storage.charge_rows import to_millis
from p402.decisions import Decision, Funds, Question, Rules, decide
from p402.vocabulary import attributes

__all__ = ["EVALUATOR", "Made", "evaluations_request", "make", "traces_request"]

EVALUATOR = "acme.quality-desk"
_SCOPE = InstrumentationScope(name="p402.instrumentation")
_SPREAD = 0.07  # standard deviation of scores around a model's mean
_HOSTS = {
    "anthropic": "api.anthropic.com",
    "openai": "api.openai.com",
    "gcp.gemini": "generativelanguage.googleapis.com",
}
_ANSWERS = {"anthropic": "msg_01", "openai": "chatcmpl-", "gcp.gemini": ""}
_AFTERWARDS = timedelta(seconds=45)  # until the evaluator has looked at an answer


@dataclass(frozen=True, slots=True)
class Made:
    """A call, and what was decided about it."""

    call: Call
    decision: Decision
    score: float | None
    """What the evaluator finds; None: it does not look, or there is nothing to look at."""

    @property
    def evaluated_at(self) -> datetime:
        """When it has looked."""
        return self.call.ended_at + _AFTERWARDS


def make(call: Call, rules_of: Callable[[str], Rules]) -> Made:
    """Decide about a call by its department's policy, and make it if it may be made.

    Args:
        call: as it is wanted.
        rules_of: gives the rules of a department.
    """
    whose, task = call.attribution, call.task
    question = Question(
        attribution=whose,
        provider=PROVIDERS[call.model],
        model=call.model,
        operation="embeddings" if task.id == "embedding" else "chat",
        input_tokens=call.usage.input_tokens,
        output_tokens=None if task.id == "embedding" else _limit(call),
        task_type=task.id,
        complexity=call.complexity or None,
        data_class=call.data_class,
    )
    decision = decide(question, rules_of(whose.department or ""), Funds(), call.started_at)
    if not decision.goes_ahead or not call.is_evaluated:
        return Made(call, decision, None)
    means = {choice.model: choice.quality for choice in task.choices}
    mean = means.get(decision.model, min(means.values()))
    return Made(call, decision, round(min(1.0, max(0.0, mean + _SPREAD * call.luck)), 3))


def traces_request(calls: Iterable[Made]) -> bytes:
    """Write the spans of calls, each service's under its resource."""
    request = ExportTraceServiceRequest()
    by_service: dict[str, list[Made]] = {}
    for made in calls:
        by_service.setdefault(f"acme-{made.call.attribution.department}-assistant", []).append(made)
    for service, of_it in by_service.items():
        resource_spans = request.resource_spans.add(resource=_resource(service))
        spans = resource_spans.scope_spans.add(scope=_SCOPE).spans
        spans.extend([_span(made) for made in of_it])
    return request.SerializeToString()


def evaluations_request(calls: Sequence[Made]) -> bytes:
    """Write what the evaluator found, one event for each answer that has a score."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add(resource=_resource("acme-quality"))
    records = resource_logs.scope_logs.add(scope=InstrumentationScope(name=EVALUATOR)).log_records
    for made in calls:
        if made.score is not None:
            said = {"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.value": made.score}
            records.add(
                event_name="gen_ai.evaluation.result",
                time_unix_nano=_nanoseconds(made.evaluated_at),
                trace_id=made.call.trace_id,
                span_id=made.call.span_id,
                attributes=_pairs(said),
            )
    return request.SerializeToString()


def _limit(call: Call) -> int:
    return -(-2 * call.usage.output_tokens // 1024) * 1024


def _span(made: Made) -> Span:
    call = made.call
    operation = "embeddings" if call.task.id == "embedding" else "chat"
    return Span(
        trace_id=call.trace_id,
        span_id=call.span_id,
        name=f"{operation} {made.decision.model}",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=_nanoseconds(call.started_at),
        end_time_unix_nano=_nanoseconds(call.ended_at if made.decision.goes_ahead else call.started_at),
        attributes=_pairs(_told(made, operation)),
    )


def _told(made: Made, operation: str) -> dict[str, Any]:
    call, decision = made.call, made.decision
    model = decision.model
    provider = PROVIDERS[call.model]
    told: dict[str, Any] = {level.attribute: value for level, value in call.attribution if value is not None}
    told |= {
        attributes.P402_TASK_TYPE: call.task.id,
        attributes.P402_TASK_TYPE_SOURCE: "application",
        attributes.GEN_AI_OPERATION_NAME: operation,
        attributes.GEN_AI_PROVIDER_NAME: provider,
        attributes.GEN_AI_REQUEST_MODEL: model,
        attributes.SERVER_ADDRESS: _HOSTS[provider],
        attributes.P402_REQUEST: call.request,
        attributes.P402_DECISION_VERDICT: decision.verdict.value,
        attributes.P402_DECISION_CODE: decision.code.value,
        attributes.P402_DECISION_RATIONALE: decision.rationale,
    }
    if call.complexity:
        told[attributes.P402_COMPLEXITY] = call.complexity
    if call.data_class is not None:
        told[attributes.P402_DATA_CLASS] = call.data_class
    if decision.would is not None:
        told[attributes.P402_DECISION_WOULD] = decision.would
    if model != call.model:
        told[attributes.P402_DECISION_ORIGINAL_MODEL] = call.model
    return told | _answer(call, provider, model) if decision.goes_ahead else told


def _answer(call: Call, provider: str, model: str) -> dict[str, Any]:
    usage = call.usage
    told: dict[str, Any] = {
        attributes.P402_STREAM_END: "read",
        attributes.HTTP_RESPONSE_STATUS_CODE: 200,
        attributes.GEN_AI_RESPONSE_ID: _ANSWERS[provider] + call.response,
        attributes.GEN_AI_RESPONSE_MODEL: model,
        attributes.GEN_AI_USAGE_INPUT_TOKENS: usage.input_tokens,
        attributes.GEN_AI_USAGE_OUTPUT_TOKENS: usage.output_tokens,
        attributes.P402_USAGE_SOURCE: "provider",
        attributes.P402_CONTENT_MODE: "metadata",
    }
    details = {
        attributes.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: usage.cache_read_input_tokens,
        attributes.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: usage.cache_write_input_tokens,
        attributes.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: usage.reasoning_output_tokens,
    }
    return told | {name: number for name, number in details.items() if number}


def _resource(service: str) -> Resource:
    return Resource(attributes=_pairs({"service.name": service, "telemetry.sdk.language": "python"}))


def _pairs(told: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in told.items()]


@lru_cache(maxsize=4096, typed=True)
def _value(value: str | float) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case _:
            return AnyValue(double_value=value)


def _nanoseconds(moment: datetime) -> int:
    return to_millis(moment) * 1_000_000
