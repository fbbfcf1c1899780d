"""OTLP over HTTP: ``POST /v1/traces``, and ``/v1/metrics`` and ``/v1/logs``, which are accepted and counted.

In this order: who sends, how large, decompress with a bound, decode, record, and only then answer. Source:
opentelemetry-proto ``docs/specification.md``: 400 drops the batch at the client, 503 makes it try again.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from p402.collector.api.auth import Authenticator
from p402.collector.api.problem import Unauthorised, status_of
from p402.collector.pipeline.ingest import Ingest
from p402.collector.receiver.otlp_decode import MalformedOtlp, decode_traces
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import P402Error, Permanent, Transient

__all__ = ["OtlpReceiver"]

log = structlog.get_logger(__name__)

_PROTOBUF = "application/x-protobuf"
_MAX_LISTED = 10  # rejected spans that the answer names one by one
_GRPC_CODES = {400: 3, 401: 16, 403: 7, 413: 8, 415: 3, 503: 14}  # google.rpc.Code


class TooLarge(Permanent):
    """The body is larger than the collector takes."""


class Unsupported(Permanent):
    """The body is in a format or compression that the collector does not read."""


class OtlpReceiver:
    """The handlers of the three signals."""

    def __init__(self, ingest: Ingest, authenticator: Authenticator, metrics: CollectorMetrics, max_bytes: int) -> None:
        self._ingest = ingest
        self._authenticator = authenticator
        self._metrics = metrics
        self._max_bytes = max_bytes

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [
            web.post("/v1/traces", self.traces),
            web.post("/v1/metrics", self.counted_only),
            web.post("/v1/logs", self.counted_only),
        ]

    async def traces(self, request: web.Request) -> web.Response:
        """Take spans in; answers 200 only when every charge is on disk."""
        return await self._answer(request, self._traces)

    async def counted_only(self, request: web.Request) -> web.Response:
        """Accept metrics or logs: SDKs send them by default and would log an error at every refusal."""
        return await self._answer(request, self._body_of_other_signal)

    async def _traces(self, request: web.Request) -> bytes:
        principal = await self._authenticator.authenticate(request, "ingest")
        body = await self._body(request)
        decoded = decode_traces(body)
        await self._ingest.ingest(decoded.spans, principal.bound_to, principal.key_id)
        self._metrics.spans(Counter(rejected=len(decoded.rejected)))
        response = ExportTraceServiceResponse()
        if decoded.rejected:
            response.partial_success.rejected_spans = len(decoded.rejected)
            shown = decoded.rejected[:_MAX_LISTED]
            more = len(decoded.rejected) - len(shown)
            response.partial_success.error_message = "; ".join(shown) + (f"; and {more} more" if more else "")
        return response.SerializeToString()

    async def _body_of_other_signal(self, request: web.Request) -> bytes:
        await self._authenticator.authenticate(request, "ingest")
        await self._body(request)
        return b""  # an empty Export…ServiceResponse: full success

    async def _answer(self, request: web.Request, handle: Callable[[web.Request], Awaitable[bytes]]) -> web.Response:
        signal = request.path.rsplit("/", 1)[-1]
        try:
            response = web.Response(body=await handle(request), content_type=_PROTOBUF)
        except P402Error as error:
            response = _refusal(error)
        except Exception:
            # A fault of ours. 503 makes the client keep the batch and try again; 500 would make it drop the batch.
            log.exception("otlp_request_failed", signal=signal)
            response = _refusal(Transient("The collector failed at this batch; its log has the details."))
        self._metrics.otlp_request(signal, response.status)
        return response

    async def _body(self, request: web.Request) -> bytes:
        if request.content_type != _PROTOBUF:
            raise Unsupported(
                f"Content-Type {request.content_type!r} is not read here; send {_PROTOBUF} "
                "(OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)."
            )
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise TooLarge(f"The body is larger than {self._max_bytes} bytes; send smaller batches.") from error
        match request.headers.get("Content-Encoding", "identity").lower():
            case "identity" | "":
                return body
            case "gzip" | "deflate":
                return self._inflate(body)
            case other:
                raise Unsupported(f"Content-Encoding {other!r} is not read here; use gzip, deflate or none.")

    def _inflate(self, body: bytes) -> bytes:
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip and zlib by their headers
        try:
            inflated = inflater.decompress(body, self._max_bytes + 1)
        except zlib.error as error:
            raise MalformedOtlp(f"The body cannot be decompressed: {error}.") from error
        if len(inflated) > self._max_bytes:
            raise TooLarge(f"The body is larger than {self._max_bytes} bytes when decompressed; send smaller batches.")
        if not inflater.eof:
            raise MalformedOtlp("The compressed body ends too early.")
        if inflater.unused_data:  # what is acknowledged must have been read
            raise MalformedOtlp("More follows after the end of the compressed body; compress it in one piece.")
        return inflated


_STATUS: dict[type[P402Error], int] = {TooLarge: 413, Unsupported: 415}


def _refusal(error: P402Error) -> web.Response:
    status = _STATUS.get(type(error)) or status_of(error)
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorised) else {}
    if isinstance(error, Transient):
        headers["Retry-After"] = "1"  # Python's exporter gives up for good on a longer one
    body = Status(code=_GRPC_CODES.get(status, 2), message=str(error)).SerializeToString()
    return web.Response(status=status, body=body, content_type=_PROTOBUF, headers=headers)
