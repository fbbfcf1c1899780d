"""Names in spans that wait for a viewer which is away."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from p402.collector.privacy.pseudonyms import Names
from p402.collector.privacy.queued_spans import without_names
from support.otlp import ASpan, request_of

NAMES = Names({"e-1042": "erased-e"}, {"review-7": "erased-s"})


def attributes(body: bytes) -> dict[str, str]:
    [resource_spans] = ExportTraceServiceRequest.FromString(body).resource_spans
    [scope_spans] = resource_spans.scope_spans
    return {pair.key: pair.value.string_value for pair in scope_spans.spans[0].attributes}


def test_a_value_that_is_a_name_is_replaced_whatever_it_is_called() -> None:
    span = ASpan.of({"enduser.id": "e-1042", "session.id": "review-7", "gen_ai.conversation.id": "review-7"})
    found = attributes(without_names(request_of([span]), NAMES, "acme"))
    assert [found[key] for key in ("p402.employee", "enduser.id")] == ["erased-e"] * 2
    assert [found[key] for key in ("p402.session", "session.id", "gen_ai.conversation.id")] == ["erased-s"] * 3
    assert found["gen_ai.request.model"] == "claude-opus-4-5"


def test_other_levels_and_longer_values_stay() -> None:
    span = ASpan.of({"p402.department": "e-1042", "p402.project": "review-7", "note": "about e-1042"})
    found = attributes(without_names(request_of([span]), NAMES, "acme"))
    assert (found["p402.department"], found["p402.project"], found["note"]) == ("e-1042", "review-7", "about e-1042")


def test_another_organisations_people_stay() -> None:
    body = request_of([ASpan.of({"p402.organisation": "initech"})])
    assert without_names(body, NAMES, "acme") == body
    unnamed = request_of([ASpan.of({"p402.organisation": None})], {"p402.organisation": "initech"})
    assert without_names(unnamed, NAMES, "acme") == unnamed


def test_what_has_no_names_is_not_even_read() -> None:
    assert without_names(b"no OTLP at all", NAMES, "acme") == b"no OTLP at all"


def test_names_in_the_resource_go_too() -> None:
    body = without_names(request_of([ASpan()], {"service.name": "tests", "user.id": "e-1042"}), NAMES, "acme")
    assert b"e-1042" not in body
    assert b"review-7" not in body


def test_names_in_lists_and_maps_go_too() -> None:
    request = ExportTraceServiceRequest.FromString(request_of([ASpan.of({"app.users": ("e-1042", "e-7")})]))
    made = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="app.context")
    inner = made.value.kvlist_value.values.add(key="who")
    inner.value.array_value.values.add(string_value="review-7")
    inner = made.value.kvlist_value.values.add(key="p402.project")
    inner.value.string_value = "e-1042"
    body = without_names(request.SerializeToString(), NAMES, "acme")
    found = {
        pair.key: pair.value
        for pair in ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0].attributes
    }
    assert [item.string_value for item in found["app.users"].array_value.values] == ["erased-e", "e-7"]
    who, project = found["app.context"].kvlist_value.values
    assert who.value.array_value.values[0].string_value == "erased-s"
    assert project.value.string_value == "e-1042", "a project is a project"
