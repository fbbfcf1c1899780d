"""OpenTelemetry's own exporter, of which only the encoder is exchanged for ours.

Sending, retrying, TLS, compression and all its settings are in its `export`, and their names inside differ between its
versions. So that function runs as it is, with another `encode_spans`; where it has none of that name, it keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from p402.instrumentation.guard import guard
from p402.instrumentation.otlp import encodable, encode

__all__ = ["CallExporter"]


class CallExporter(OTLPSpanExporter):
    """Sends spans of calls over OTLP/HTTP."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send one batch, and try again where that may help; the exporter's timeout bounds it."""
        return _export(self, spans)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Stands for the message that `encode_spans` gives."""

    request: bytes

    def SerializePartialToString(self) -> bytes:  # noqa: N802 - protobuf's name
        return self.request


def _encode(spans: Sequence[ReadableSpan]) -> Any:
    with guard("encoding spans"):
        if all(map(encodable, spans)):
            return _Encoded(encode(spans))
    return encode_spans(spans)


def _with_our_encoder(export: Any) -> Callable[[OTLPSpanExporter, Sequence[ReadableSpan]], SpanExportResult]:
    if not isinstance(export, FunctionType):  # somebody has wrapped it
        return export  # type: ignore[no-any-return] # it is what `OTLPSpanExporter.export` is
    names = {**export.__globals__, "encode_spans": _encode}
    return FunctionType(export.__code__, names, export.__name__, export.__defaults__, export.__closure__)


_export = _with_our_encoder(OTLPSpanExporter.export)
