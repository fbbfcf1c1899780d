"""Names in spans that wait to be sent on (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from p402.collector.privacy.pseudonyms import Names
from p402.vocabulary import Level

__all__ = ["without_names"]

_ORGANISATION = Level.ORGANISATION.attribute
_EMPLOYEE = Level.EMPLOYEE.attribute
_OTHER_LEVELS = frozenset(
    level.attribute for level in Level if level not in (Level.EMPLOYEE, Level.SESSION, Level.REQUEST)
)


def without_names(
    body: bytes,
    names: Names,
    organisation: str,
    *,
    of_nobody: Names | None = None,
    of_others: Names | None = None,
) -> bytes:
    """Put pseudonyms in the place of names in an encoded ``ExportTraceServiceRequest``.

    An attribute is replaced when its whole value is a name, whatever it is called: instrumentations have names of their own
    for sessions and users. Spans that say that they are another organisation's stay as they are.

    Args:
        body: the request.
        names: of somebody, for their own spans.
        organisation: whose names they are.
        of_nobody: what is replaced in spans that name no employee; the same if it is not said.
        of_others: what is replaced in spans that name another employee; the same if it is not said.
    """
    of_nobody, of_others = of_nobody or names, of_others or names

    def of(employee: str | None) -> Names:
        return of_nobody if employee is None else names if names.are_of(employee) else of_others

    if not any(name.encode() in body for name in (*names.employees, *names.sessions)):
        return body
    request = ExportTraceServiceRequest.FromString(body)
    for resource_spans in request.resource_spans:
        owner = _said(resource_spans.resource.attributes, _ORGANISATION) or organisation
        employee = _said(resource_spans.resource.attributes, _EMPLOYEE)
        if owner == organisation:
            _replace(resource_spans.resource.attributes, of(employee))
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if (_said(span.attributes, _ORGANISATION) or owner) == organisation:
                    theirs = of(_said(span.attributes, _EMPLOYEE) or employee)
                    _replace(span.attributes, theirs)
                    for event in span.events:
                        _replace(event.attributes, theirs)
                    for link in span.links:
                        _replace(link.attributes, theirs)
    return request.SerializeToString()


def _said(attributes: Iterable[KeyValue], key: str) -> str | None:
    return next((pair.value.string_value for pair in attributes if pair.key == key), None) or None


def _replace(attributes: Iterable[KeyValue], names: Names) -> None:
    for pair in attributes:
        if pair.key not in _OTHER_LEVELS:
            _replace_value(pair.value, pair.key, names)


def _replace_value(value: AnyValue, key: str, names: Names) -> None:
    """Replace a value, or those of a list, or those under the names of a map."""
    if value.HasField("array_value"):
        for item in value.array_value.values:
            _replace_value(item, key, names)
    elif value.HasField("kvlist_value"):
        _replace(value.kvlist_value.values, names)
    elif value.string_value:
        found = names.sessions.get(value.string_value)
        if key != Level.SESSION.attribute:
            found = names.employees.get(value.string_value, found)
        if found is not None:
            value.string_value = found
