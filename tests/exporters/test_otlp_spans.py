"""What leaves for viewers: no content whoever wrote it, and the ledger's cost on the span."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from p402.exporters.otlp import AttributePolicy, Facts, asked_for, enrich, strip
from p402.exporters.otlp.enrich import cost_bucket
from p402.vocabulary import Attribution, Charge, Money, PriceReference, Usage, UsageSource
from support.otlp import ASpan, request_of

SECRET = "the merger is on Friday"
AT = datetime(2026, 5, 15, 9, tzinfo=UTC)
CHARGE = Charge(
    trace_id="0" * 31 + "1",
    span_id="0" * 15 + "1",
    request="req-1",
    attribution=Attribution("acme", "legal", None, None, "e-1", "s-1"),
    started_at=AT,
    ended_at=AT,
    provider="anthropic",
    operation="chat",
    request_model="claude-opus-4-5",
    response_model="claude-opus-4-5",
    response_id=None,
    usage=Usage(input_tokens=2847, output_tokens=10_000),
    usage_source=UsageSource.PROVIDER,
    cost=Money.parse("0.264235"),
    unpriced_reason=None,
    price=PriceReference("genai-prices/0.2.3", "ab"),
)


def request_with(**attributes: Any) -> ExportTraceServiceRequest:
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return ExportTraceServiceRequest.FromString(request_of([ASpan(attributes=named)]))


def only(request: ExportTraceServiceRequest) -> Span:
    return request.resource_spans[0].scope_spans[0].spans[0]


def of(pairs: Any) -> dict[str, Any]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value(pair) for pair in pairs}


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.tool.definitions",
        "gen_ai.prompt",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.0.tool_calls.0.arguments",
        "input.value",
        "output.value",
        "llm.input_messages.0.message.content",
        "llm.prompts",
        "llm.prompt_template.variables",
        "llm.invocation_parameters",
        "retrieval.documents.0.document.content",
        "embedding.embeddings.0.embedding.text",
        "traceloop.entity.input",
        "tool.parameters",
        "http.request.header.authorization",
        "http.request.body",
        "baggage.p402.employee",
        "ai.prompt.messages",
        "ai.response.text",
        "ai.toolCall.args",
        "request_data",
        "pydantic_ai.all_messages",
        "all_messages_events",
        "tool_arguments",
        "langfuse.observation.input",
        "mlflow.spanInputs",
        "error.message",
    ],
)
def test_content_of_every_dialect_is_taken_away(key: str) -> None:
    request = request_with(**{key: SECRET, "gen_ai.request.model": "gpt-4o"})
    assert strip(request) == 1
    assert of(only(request).attributes) == {"gen_ai.request.model": "gpt-4o", "p402.content.stripped": True}
    assert SECRET.encode() not in request.SerializeToString()


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.prompt.name",
        "gen_ai.usage.prompt_tokens",
        "gen_ai.usage.completion_tokens",
        "gen_ai.conversation.id",
        "gen_ai.tool.name",
        "gen_ai.tool.call.id",
        "llm.model_name",
        "llm.token_count.prompt",
        "openinference.span.kind",
        "p402.department",
        "http.request.method",
        "exception.type",
    ],
)
def test_names_ids_and_counts_stay(key: str) -> None:
    request = request_with(**{key: "x"})
    assert strip(request) == 0
    assert of(only(request).attributes) == {key: "x"}


def test_events_exceptions_and_status_messages_lose_their_text_and_keep_their_names() -> None:
    request = request_with(a="b")
    span = only(request)
    span.status.MergeFrom(Status(code=Status.STATUS_CODE_ERROR, message=f"failed at {SECRET}"))
    event = span.events.add(name="exception")
    for key in ("exception.type", "exception.message", "exception.stacktrace"):
        event.attributes.add(key=key).value.string_value = SECRET if key != "exception.type" else "ValueError"
    span.events.add(name="gen_ai.user.message").attributes.add(key="content").value.string_value = SECRET
    span.links.add(trace_id=b"1" * 16, span_id=b"1" * 8).attributes.add(key="input.value").value.string_value = SECRET
    assert strip(request) == 1
    assert SECRET.encode() not in request.SerializeToString()
    assert [event.name for event in span.events] == ["exception", "gen_ai.user.message"]
    assert (of(span.events[0].attributes), span.status.code) == ({"exception.type": "ValueError"}, 2)


def test_a_long_text_is_content_whatever_its_name_and_attributes_of_scopes_count_too() -> None:
    request = request_with(app__note=SECRET * 100, app__id="x")
    scope = request.resource_spans[0].scope_spans[0].scope
    scope.attributes.add(key="input.value").value.string_value = SECRET
    assert strip(request) == 1
    assert SECRET.encode() not in request.SerializeToString()
    assert of(only(request).attributes)["app.id"] == "x"


def test_urls_lose_their_query_and_their_user() -> None:
    request = request_with(
        url__full="https://u:p@x.test/v1?key=AIza&x=1#f", http__target="/v1?key=1", url__query="key=1"
    )
    assert strip(request) == 1
    found = of(only(request).attributes)
    assert (found["url.full"], found["http.target"], found["url.query"]) == ("https://x.test/v1", "/v1", "")
    assert strip(request_with(url__full="https://x.test/v1/chat")) == 0


def test_a_policy_takes_away_what_a_backend_may_not_see() -> None:
    request = request_with(p402__employee="e-1", p402__session="s-1", p402__department="legal")
    AttributePolicy(("p402.employee", "*.session")).apply(request)
    assert of(only(request).attributes) == {"p402.department": "legal"}
    AttributePolicy(("service.*",)).apply(request)
    assert of(request.resource_spans[0].resource.attributes) == {}


def test_the_cost_is_a_number_a_bucket_and_a_version_of_the_prices() -> None:
    span = only(request_with(p402__request="of the span", p402__cost__total_usd=7.0))
    ids = bytes(span.trace_id), bytes(span.span_id), span.start_time_unix_nano, span.end_time_unix_nano
    enrich(span, Facts(charge=CHARGE, attribution=CHARGE.attribution, trace_total=Money.parse("1.5")))
    assert of(span.attributes) == {
        "p402.organisation": "acme",
        "p402.department": "legal",
        "p402.employee": "e-1",
        "p402.session": "s-1",
        "p402.request": "req-1",
        "p402.usage.source": "provider",
        "p402.cost.total_usd": 0.264235,
        "llm.cost.total": 0.264235,
        "p402.cost.currency": "USD",
        "p402.cost.bucket": "0.1-1",
        "p402.price.version": "genai-prices/0.2.3",
        "p402.cost.trace_total_usd": 1.5,
    }
    assert (span.trace_id, span.span_id, span.start_time_unix_nano, span.end_time_unix_nano) == ids


def test_an_unpriced_call_says_why_and_has_no_cost() -> None:
    span = only(request_with(a="b"))
    enrich(span, Facts(charge=replace(CHARGE, cost=None, unpriced_reason="no such model", price=None)))
    found = of(span.attributes)
    assert found["p402.unpriced_reason"] == "no such model"
    assert {key: found[key] for key in found if "cost" in key} == {"p402.cost.bucket": "unpriced"}


def test_a_refused_call_has_an_owner_and_a_bucket_and_no_cost() -> None:
    span = only(request_with(a="b"))
    enrich(span, Facts(attribution=Attribution("acme", "legal"), refused=True))
    assert of(span.attributes) == {
        "a": "b",
        "p402.organisation": "acme",
        "p402.department": "legal",
        "p402.cost.bucket": "refused",
    }


def test_a_span_around_calls_says_what_they_cost() -> None:
    span = only(request_with(a="b"))
    enrich(span, Facts(below=Money.parse("0.25")))
    assert of(span.attributes) == {"a": "b", "p402.cost.below_usd": 0.25}


def test_a_downgrade_is_linked_to_a_span_of_what_was_asked_for() -> None:
    span = only(
        request_with(
            gen_ai__operation__name="chat",
            gen_ai__request__model="gpt-4o-mini",
            gen_ai__usage__input_tokens=9,
            p402__department="legal",
            p402__decision__original_model="gpt-4o",
            p402__decision__verdict="downgrade",
        )
    )
    wish = asked_for(span)
    assert wish is not None
    assert (wish.trace_id, wish.parent_span_id, wish.name) == (span.trace_id, span.span_id, "asked for chat gpt-4o")
    assert wish.start_time_unix_nano == wish.end_time_unix_nano == span.start_time_unix_nano
    assert not [key for key in of(wish.attributes) if key.startswith("gen_ai.")]
    assert of(wish.attributes)["p402.department"] == "legal"
    assert asked_for(span) == wish  # as when it is sent again
    links = [(link.trace_id, link.span_id, of(link.attributes)["p402.link"]) for link in span.links]
    assert links == [(span.trace_id, wish.span_id, "downgraded_from")]
    assert asked_for(wish) is None


@pytest.mark.parametrize("verdict", ["allow", "block"])
def test_what_was_called_as_asked_or_not_at_all_is_no_downgrade(verdict: str) -> None:
    original = {"p402__decision__original_model": "gpt-4o"} if verdict == "block" else {}
    span = only(request_with(gen_ai__request__model="gpt-4o", p402__decision__verdict=verdict, **original))
    assert asked_for(span) is None
    assert not span.links


def test_a_duplicate_is_linked_to_the_span_that_is_charged() -> None:
    span = only(request_with(a="b"))
    enrich(span, Facts(duplicate_of=b"t" * 16 + b"s" * 8))
    links = [(link.trace_id, link.span_id, of(link.attributes)["p402.link"]) for link in span.links]
    assert links == [(b"t" * 16, b"s" * 8, "duplicate_of")]
    assert of(span.attributes)["p402.duplicate_of"] == (b"s" * 8).hex()
    enrich(span, Facts(duplicate_of=b"t" * 16 + b"s" * 8))  # as the next collector of a chain does
    assert len(span.links) == 1


@pytest.mark.parametrize(
    ("cost", "bucket"),
    [("0", "0-0.0001"), ("0.0001", "0-0.0001"), ("0.000100001", "0.0001-0.001"), ("1", "0.1-1"), ("100.5", "100-")],
)
def test_buckets_have_no_gaps(cost: str, bucket: str) -> None:
    assert cost_bucket(Money.parse(cost)) == bucket
