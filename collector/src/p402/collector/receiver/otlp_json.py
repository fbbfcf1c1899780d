"""OTLP in JSON → spans and events (pure), the same as from protobuf.

Source: opentelemetry-proto ``docs/specification.md``, "JSON Protobuf Encoding": names in lowerCamelCase, ids in
hexadecimal, 64-bit integers as text or number, unknown fields ignored. Read without protobuf's own ``json_format``,
which takes the ids for base64 and is over a hundred times slower.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from p402.collector.pipeline.records import EventRecord, SpanRecord
from p402.collector.receiver.decoded import MAX_DEPTH, Decoded, MalformedOtlp, parent_or_none
from p402.collector.receiver.message_of_json import message_of_json

__all__ = ["decode_events_json", "decode_traces_json"]

Object: TypeAlias = Mapping[str, Any]

_INT64, _UINT64 = (-(2**63), 2**63 - 1), (0, 2**64 - 1)
_LONGEST_NUMBER = 32  # characters; 64 bits need 20
_INTEGER = re.compile(r"-?[0-9]+")
_ERRORS = (2, "2", "STATUS_CODE_ERROR")  # enums are numbers; some senders write names
_ESCAPED_HALF = re.compile(r"\\u[dD][89abcdefABCDEF]")  # of a character, as where JavaScript cut a text inside an emoji
_HALF = re.compile("[\ud800-\udfff]")
_NO_OBJECT: Object = {}


class _Wrong(ValueError):
    """A field is not what the format says."""


def decode_traces_json(body: bytes) -> Decoded:
    """Read an ``ExportTraceServiceRequest`` in JSON.

    Raises:
        MalformedOtlp: if the body is something else.
        TooLarge: if it has too many spans.
    """
    request = _parse(body)
    decoded = Decoded(lambda: message_of_json(request))
    try:
        for resource_spans in _objects(request, "resourceSpans"):
            resource = _attributes(_object(resource_spans, "resource"))
            for scope_spans in _objects(resource_spans, "scopeSpans"):
                scope = _text(_object(scope_spans, "scope"), "name")
                for span in _objects(scope_spans, "spans"):
                    _take(decoded, span, scope, resource)
    except _Wrong as error:
        raise MalformedOtlp(f"The JSON is not an ExportTraceServiceRequest: {error}.") from error
    return decoded


def decode_events_json(body: bytes) -> list[EventRecord]:
    """Read the log records of an ``ExportLogsServiceRequest`` in JSON.

    Raises:
        MalformedOtlp: if the body is something else.
    """
    request = _parse(body)
    try:
        return [
            _event(record, _text(_object(scope, "scope"), "name"), _attributes(_object(logs, "resource")))
            for logs in _objects(request, "resourceLogs")
            for scope in _objects(logs, "scopeLogs")
            for record in _objects(scope, "logRecords")
        ]
    except _Wrong as error:
        raise MalformedOtlp(f"The JSON is not an ExportLogsServiceRequest: {error}.") from error


def _event(record: Object, scope: str, resource: dict[str, Any]) -> EventRecord:
    name = _text(record, "eventName")
    try:
        at, observed = (_integer(record.get(name), _UINT64, name) for name in ("timeUnixNano", "observedTimeUnixNano"))
        ids = _id(record, "traceId"), _id(record, "spanId")
        return EventRecord(name, at or observed, *ids, scope, _attributes(record), resource)
    except _Wrong:  # it is an event all the same, that says nothing which can be used; the rest of its batch is taken
        return EventRecord(name, 0, b"", b"", scope, {}, resource)


def _parse(body: bytes) -> Object:
    try:
        text = body.decode()
        parsed = json.loads(text)
        if _ESCAPED_HALF.search(
            text
        ):  # halves that found no partner have no UTF-8; U+FFFD stands for them, as elsewhere
            parsed = json.loads(_HALF.sub("\ufffd", json.dumps(parsed, ensure_ascii=False)))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise MalformedOtlp(f"The body ({len(body)} bytes) is not JSON in UTF-8: {reason[:200]}.") from error
    if not isinstance(parsed, dict):
        raise MalformedOtlp("The JSON is not an OTLP request: it must be an object with lowerCamelCase names.")
    return parsed


def _take(decoded: Decoded, span: Object, scope: str, resource: dict[str, Any]) -> None:
    try:
        record = SpanRecord(
            trace_id=_id(span, "traceId"),
            span_id=_id(span, "spanId"),
            parent_span_id=_parent(span),
            name=_text(span, "name"),
            started_ns=_integer(span.get("startTimeUnixNano"), _UINT64, "startTimeUnixNano"),
            ended_ns=_integer(span.get("endTimeUnixNano"), _UINT64, "endTimeUnixNano"),
            failed=_object(span, "status").get("code") in _ERRORS,
            scope=scope,
            attributes=_attributes(span),
            resource=resource,
        )
    except _Wrong as error:
        name = span.get("name")
        decoded.reject(name if isinstance(name, str) else "", str(error))
    else:
        decoded.take(record)


def _attributes(owner: Object) -> dict[str, Any]:
    return {_text(pair, "key"): _value(_object(pair, "value")) for pair in _objects(owner, "attributes")}


def _value(value: Object, depth: int = 0) -> Any:
    for kind, read in _KINDS.items():
        found = value.get(kind)
        if found is not None:
            return read(found)
    array = value.get("arrayValue")
    if array is None or depth >= MAX_DEPTH:  # nothing we read is a map
        return None
    if not isinstance(array, dict):
        raise _Wrong("arrayValue is not an object")
    return tuple(_value(item, depth + 1) for item in _objects(array, "values"))


def _string(found: object) -> str:
    if not isinstance(found, str):
        raise _Wrong("stringValue is not text")
    return found


def _boolean(found: object) -> bool:
    if not isinstance(found, bool):
        raise _Wrong("boolValue is neither true nor false")
    return found


def _double(found: object) -> float:
    if isinstance(found, int | float | str) and not isinstance(found, bool):
        try:
            return float(found)  # reads "NaN" and "Infinity" too, as the format writes them
        except (ValueError, OverflowError):
            pass
    raise _Wrong("doubleValue is not a number")


def _bytes(found: object) -> bytes:
    try:
        standard = _string(found).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _Wrong("bytesValue is not base64") from error


def _integer(found: object, bounds: tuple[int, int], name: str) -> int:
    """Read an integer that may be written as text or, where a program knows only doubles, with a decimal point."""
    if found is None:
        return 0
    least, most = bounds
    if isinstance(found, str) and len(found) <= _LONGEST_NUMBER and _INTEGER.fullmatch(found):
        found = int(found)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool):
        raise _Wrong(f"{name} is not an integer")
    if not least <= found <= most:
        raise _Wrong(f"{name} does not fit in 64 bits")
    return found


_KINDS: Mapping[str, Callable[[object], Any]] = {
    "stringValue": _string,
    "intValue": lambda found: _integer(found, _INT64, "intValue"),
    "doubleValue": _double,
    "boolValue": _boolean,
    "bytesValue": _bytes,
}


def _id(span: Object, name: str) -> bytes:
    try:
        return bytes.fromhex(_text(span, name))
    except ValueError as error:
        raise _Wrong(f"{name} is not hexadecimal") from error


def _parent(span: Object) -> bytes | None:
    try:
        return parent_or_none(_id(span, "parentSpanId"))
    except _Wrong:
        return None


def _text(owner: Object, name: str) -> str:
    found = owner.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise _Wrong(f"{name} is not text")
    return found


def _object(owner: Object, name: str) -> Object:
    found = owner.get(name)
    if found is None:
        return _NO_OBJECT
    if not isinstance(found, dict):
        raise _Wrong(f"{name} is not an object")
    return found


def _objects(owner: Object, name: str) -> list[Object]:
    found = owner.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise _Wrong(f"{name} is not a list of objects")
    return found
