"""What both doors, HTTP and gRPC, do with a request that they have read: decode it, record it, and word the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from p402.collector.api.auth import Principal
from p402.collector.pipeline.evaluate import EVALUATION, EvaluationIngest
from p402.collector.pipeline.ingest import Ingest
from p402.collector.pipeline.records import EventRecord
from p402.collector.receiver.decoded import Decoded
from p402.collector.receiver.forwardable import Forwarding
from p402.collector.receiver.otlp_decode import decode_events, decode_traces
from p402.collector.receiver.otlp_json import decode_events_json, decode_traces_json
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Transient

__all__ = ["JSON", "PROTOBUF", "Encoding", "Intake"]

log = structlog.get_logger(__name__)

_MAX_LISTED = 10  # rejected spans that the answer names one by one


@dataclass(frozen=True, slots=True)
class Encoding:
    """One of the two formats of OTLP; a request is answered in its own."""

    media_type: str
    traces: Callable[[bytes], Decoded]
    events: Callable[[bytes], list[EventRecord]]
    write: Callable[[Message], bytes]


PROTOBUF = Encoding(
    "application/x-protobuf",
    decode_traces,
    decode_events,
    lambda message: message.SerializeToString(),  # which each kind of message has of its own
)
JSON = Encoding(
    "application/json",
    decode_traces_json,
    decode_events_json,
    lambda message: MessageToJson(message, indent=None).encode(),
)


class Intake:
    """One method a signal; each gives the body of the answer, once what must be kept is on disk."""

    def __init__(
        self,
        ingest: Ingest,
        evaluations: EvaluationIngest,
        metrics: CollectorMetrics,
        forwarding: Forwarding | None = None,
    ) -> None:
        self._ingest = ingest
        self._evaluations = evaluations
        self._metrics = metrics
        self._forwarding = forwarding

    async def traces(self, encoding: Encoding, body: bytes, principal: Principal) -> bytes:
        """Charge the calls among the spans.

        Raises:
            MalformedOtlp, TooLarge: the body cannot be taken; sending it again is of no use.
            Transient: nothing was recorded; the sender should try again.
        """
        decoded = encoding.traces(body)
        forwarded = None if self._forwarding is None else self._forwarding.of(decoded.message())
        try:
            await self._ingest.ingest(decoded.spans, principal.bound_to, principal.key_id, forwarded)
        except Transient as error:
            log.warning("spans_wait_for_storage", problem=str(error))
            raise
        self._metrics.spans(Counter(rejected=len(decoded.rejected)))
        if self._forwarding is not None:
            left_out = len(decoded.spans) + len(decoded.rejected) - (0 if forwarded is None else forwarded.spans)
            for backend in self._forwarding.backends:
                self._metrics.forwarded(backend, "left_out", left_out)
        response = ExportTraceServiceResponse()
        if decoded.rejected:
            response.partial_success.rejected_spans = len(decoded.rejected)
            shown = decoded.rejected[:_MAX_LISTED]
            more = len(decoded.rejected) - len(shown)
            response.partial_success.error_message = "; ".join(shown) + (f"; and {more} more" if more else "")
        return encoding.write(response)

    async def logs(self, encoding: Encoding, body: bytes, principal: Principal) -> bytes:
        """Keep the evaluations of answers among the log records, and nothing else.

        Raises:
            MalformedOtlp: the body cannot be read; sending it again is of no use.
            Transient: nothing was recorded; the sender should try again.
        """
        if EVALUATION.encode() in body:  # most logs hold none, and are not decoded
            await self._evaluations.ingest(encoding.events(body), principal.bound_to, principal.key_id)
        return encoding.write(ExportLogsServiceResponse())

    async def metrics(self, encoding: Encoding, _body: bytes, _: Principal) -> bytes:
        """Accept metrics: SDKs send them by default and would log an error at every refusal."""
        return encoding.write(ExportMetricsServiceResponse())
