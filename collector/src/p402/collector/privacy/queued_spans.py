"""Names in spans that wait to be sent on (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from p402.collector.privacy.pseudonyms import Names
from p402.vocabulary import Level

__all__ = ["without_names"]

_ORGANISATION = Level.ORGANISATION.attribute
_OTHER_LEVELS = frozenset(
    level.attribute for level in Level if level not in (Level.EMPLOYEE, Level.SESSION, Level.REQUEST)
)


def without_names(body: bytes, names: Names, organisation: str) -> bytes:
    """Put pseudonyms in the place of names in an encoded ``ExportTraceServiceRequest``.

    An attribute is replaced when its whole value is a name, whatever it is called: instrumentations have names of their own
    for sessions and users. Spans that say that they are another organisation's stay as they are.
    """
    if not any(name.encode() in body for name in (*names.employees, *names.sessions)):
        return body
    request = ExportTraceServiceRequest.FromString(body)
    for resource_spans in request.resource_spans:
        owner = _organisation(resource_spans.resource.attributes) or organisation
        if owner == organisation:
            _replace(resource_spans.resource.attributes, names)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if (_organisation(span.attributes) or owner) == organisation:
                    _replace(span.attributes, names)
                    for event in span.events:
                        _replace(event.attributes, names)
                    for link in span.links:
                        _replace(link.attributes, names)
    return request.SerializeToString()


def _organisation(attributes: Iterable[KeyValue]) -> str | None:
    return next((pair.value.string_value for pair in attributes if pair.key == _ORGANISATION), None)


def _replace(attributes: Iterable[KeyValue], names: Names) -> None:
    for pair in attributes:
        value = pair.value.string_value
        if value and pair.key not in _OTHER_LEVELS:
            found = names.sessions.get(value)
            if pair.key != Level.SESSION.attribute:
                found = names.employees.get(value, found)
            if found is not None:
                pair.value.string_value = found
