"""A request in OTLP's JSON → protobuf, for sending it on (pure).

Protobuf's own reader of JSON looks at more than charging does, and refuses a whole message for one field. So spans are
read one by one, and one that it refuses is left out.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["message_of_json"]

M = TypeVar("M", bound=Message)

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def message_of_json(request: Mapping[str, Any]) -> ExportTraceServiceRequest:
    """Make the message of a request that was decoded before, so that its lists are lists of objects. Raises nothing.

    Spans whose resource or scope is refused are left out with it.
    """
    message = ExportTraceServiceRequest()
    for resource_spans in request.get("resourceSpans") or ():
        resource = _add(message.resource_spans, _around(resource_spans, "resource"))
        if resource is None:
            continue
        for scope_spans in resource_spans.get("scopeSpans") or ():
            scope = _add(resource.scope_spans, _around(scope_spans, "scope"))
            if scope is None:
                continue
            for span in scope_spans.get("spans") or ():
                _add(scope.spans, span)
    return message


def _around(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Give what belongs to all spans of a resource or scope."""
    return {key: value[key] for key in (name, "schemaUrl") if key in value}


def _add(to: RepeatedCompositeFieldContainer[M], value: Mapping[str, Any]) -> M | None:
    added = to.add()
    try:
        return ParseDict(_with_base64(value), added, ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError):
        del to[-1]
        return None


def _with_base64(value: Any) -> Any:
    """Write ids as protobuf's JSON has them: OTLP's has them in hexadecimal. What is no id becomes an empty one."""
    if isinstance(value, Mapping):
        return {
            key: _base64_of(item) if key in _IDS and isinstance(item, str) else _with_base64(item)
            for key, item in value.items()
        }
    return [_with_base64(item) for item in value] if isinstance(value, list) else value


def _base64_of(hexadecimal: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
    except ValueError:
        return ""
