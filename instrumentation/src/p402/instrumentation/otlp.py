"""Spans of calls in OTLP's protobuf, written out by hand: a quarter of what building the messages costs.

Only what our spans have is written here: no events. Field numbers are those of
https://github.com/open-telemetry/opentelemetry-proto (``trace.proto``, ``common.proto``, ``resource.proto``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind

from p402.vocabulary import attributes

__all__ = ["encodable", "encode"]

_KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}
_PARENT_KNOWN, _PARENT_REMOTE = 0x100, 0x200  # SpanFlags
_ALIKE = frozenset(
    {
        attributes.GEN_AI_OPERATION_NAME,
        attributes.GEN_AI_PROVIDER_NAME,
        attributes.GEN_AI_REQUEST_MODEL,
        attributes.GEN_AI_RESPONSE_MODEL,
        attributes.P402_CONTENT_MODE,
        attributes.P402_PROMPT_PATTERN,
        attributes.P402_STREAM_END,
        attributes.P402_TASK_TYPE,
        attributes.P402_TASK_TYPE_CONFIDENCE,
        attributes.P402_TASK_TYPE_SOURCE,
        attributes.P402_USAGE_SOURCE,
        attributes.SERVER_ADDRESS,
    }
)
"""Attributes that have few values, which come again and again; none of them is content."""
_FROM_64_BITS = 0xFFFF_FFFF_FFFF_FFFF
_SMALL = tuple([bytes((number,)) for number in range(128)])
_TIMES = struct.Struct("<BQBQ")
_DOUBLE = struct.Struct("<Bd")
_FLAGS = struct.Struct("<HI")
_LINK_FLAGS = struct.Struct("<BI")


def encodable(span: ReadableSpan) -> bool:
    """Tell whether `encode` writes all that a span has."""
    return not span.events and not span.dropped_links


def encode(spans: Iterable[ReadableSpan]) -> bytes:
    """Write an ``ExportTraceServiceRequest``: spans by their resource and scope, in the order in which those come."""
    scopes: dict[tuple[int, int], tuple[ReadableSpan, list[bytes]]] = {}
    for span in spans:  # one process has few of either, and makes each once
        place = id(span.resource), id(span.instrumentation_scope)
        scopes.setdefault(place, (span, []))[1].append(_field(0x12, _span(span)))
    return b"".join([_field(0x0A, _resource_spans(first, encoded)) for first, encoded in scopes.values()])


def _resource_spans(first: ReadableSpan, encoded: list[bytes]) -> bytes:
    resource, scope = first.resource, first.instrumentation_scope
    told = b""
    if scope is not None:
        told = _text(0x0A, scope.name) + _text(0x12, scope.version) + _attributes(b"\x1a", scope.attributes)
    of_scope = _field(0x0A, told) + b"".join(encoded) + _text(0x1A, scope.schema_url if scope else None)
    return (
        _field(0x0A, _attributes(b"\x0a", resource.attributes))
        + _field(0x12, of_scope)
        + _text(0x1A, resource.schema_url)
    )


def _span(span: ReadableSpan) -> bytes:
    context, parent, status = span.get_span_context(), span.parent, span.status
    assert context is not None
    state = context.trace_state
    return b"".join(
        (
            b"\x0a\x10",
            context.trace_id.to_bytes(16),
            b"\x12\x08",
            context.span_id.to_bytes(8),
            _text(0x1A, ",".join([f"{name}={value}" for name, value in state.items()])) if state else b"",
            b"\x22\x08" + parent.span_id.to_bytes(8) if parent is not None else b"",
            _text(0x2A, span.name),
            b"\x30" + _SMALL[_KINDS[span.kind]],
            _TIMES.pack(0x39, span.start_time or 0, 0x41, span.end_time or 0),
            _attributes(b"\x4a", _plain(span)),
            b"\x50" + _varint(span.dropped_attributes) if span.dropped_attributes else b"",
            b"".join([_field(0x6A, _link(link)) for link in span.links]) if span.links else b"",
            _field(0x7A, _text(0x12, status.description) + _code(status.status_code.value)),
            _FLAGS.pack(0x0185, _flags(parent)),
        )
    )


def _link(link: Link) -> bytes:
    return b"".join(
        (
            b"\x0a\x10",
            link.context.trace_id.to_bytes(16),
            b"\x12\x08",
            link.context.span_id.to_bytes(8),
            _attributes(b"\x22", link.attributes),
            b"\x28" + _varint(link.dropped_attributes) if link.dropped_attributes else b"",
            _LINK_FLAGS.pack(0x35, _flags(link.context)),
        )
    )


def _flags(other: SpanContext | None) -> int:
    return _PARENT_KNOWN | (_PARENT_REMOTE if other is not None and other.is_remote else 0)


def _plain(span: ReadableSpan) -> Mapping[str, Any] | None:
    """Give a span's attributes, from the dictionary in which the SDK keeps them, if it does: reading that costs a tenth."""
    kept = getattr(span, "_attributes", None)
    kept = getattr(kept, "_dict", kept)
    return kept if type(kept) is dict else span.attributes


def _code(code: int) -> bytes:
    return b"\x18" + _SMALL[code] if code else b""


def _attributes(tag: bytes, given: Mapping[str, Any] | None) -> bytes:
    pieces: list[bytes] = []
    for name, value in (given or {}).items():
        if name in _ALIKE and isinstance(value, str):
            pieces.append(_attribute(tag, name, value))
        else:
            told = _any_value(value)
            pieces += (_head(tag, name, len(told)), told)
    return b"".join(pieces)


@lru_cache(maxsize=1024)
def _attribute(tag: bytes, name: str, value: str) -> bytes:
    told = _any_value(value)
    return _head(tag, name, len(told)) + told


@lru_cache(maxsize=4096)
def _head(tag: bytes, name: str, size: int) -> bytes:
    """Write what comes before the value of an attribute, by the value's size; few of these come again and again."""
    key, length = _text(0x0A, name), _varint(size)
    return tag + _varint(len(key) + 1 + len(length) + size) + key + b"\x12" + length


def _any_value(value: Any) -> bytes:
    if isinstance(value, str):
        text = value.encode(errors="replace")
        return b"\x0a" + _varint(len(text)) + text
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & _FROM_64_BITS)
    if isinstance(value, float):
        return _DOUBLE.pack(0x21, value)
    if isinstance(value, bytes):
        return _field(0x3A, value)
    if isinstance(value, Sequence):
        return _field(0x2A, b"".join([_field(0x0A, _any_value(one)) for one in value]))
    if isinstance(value, Mapping):
        return _field(0x32, _attributes(b"\x0a", {str(name): one for name, one in value.items()}))
    return b""


def _text(tag: int, text: str | None) -> bytes:
    return _field(tag, text.encode(errors="replace")) if text else b""


def _field(tag: int, content: bytes) -> bytes:
    return _SMALL[tag] + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < len(_SMALL):
        return _SMALL[number]
    pieces = bytearray()
    while number >= len(_SMALL):
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)
