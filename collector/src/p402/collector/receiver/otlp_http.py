"""OTLP over HTTP: ``POST /v1/traces``, and ``/v1/metrics`` and ``/v1/logs``, in protobuf or JSON.

In this order: who sends, how large, decompress with a bound, decode, record, and only then answer. Source:
opentelemetry-proto ``docs/specification.md``: 400 drops the batch at the client, 503 makes it try again.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from google.rpc.status_pb2 import Status

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.endpoint import Media, endpoint, routes_of
from p402.collector.api.problem import Unauthorised, status_of
from p402.collector.receiver.decoded import MalformedOtlp, TooLarge
from p402.collector.receiver.intake import JSON, PROTOBUF, Encoding, Intake
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import P402Error, Permanent, Transient

__all__ = ["OtlpReceiver"]

log = structlog.get_logger(__name__)

_ENCODINGS = {encoding.media_type: encoding for encoding in (PROTOBUF, JSON)}
_GRPC_CODES = {400: 3, 401: 16, 403: 7, 413: 8, 415: 3, 503: 14}  # google.rpc.Code


_TAKES = dict.fromkeys(_ENCODINGS, "An export request of OTLP.")
_TAKEN = tuple(Media(kind, about="An export response of OTLP.") for kind in _ENCODINGS)
_REFUSED = tuple(Media(kind, about="A `google.rpc.Status` that says what is wrong.") for kind in _ENCODINGS)
_ANSWERS = {200: _TAKEN, **dict.fromkeys((400, 401, 403, 413, 415, 503), _REFUSED)}


class Unsupported(Permanent):
    """The body is in a format or compression that the collector does not read."""


class OtlpReceiver:
    """The handlers of the three signals."""

    def __init__(
        self,
        intake: Intake,
        authenticator: Authenticator,
        metrics: CollectorMetrics,
        max_bytes: int,
        default_organisation: str,
    ) -> None:
        self.authenticator = authenticator
        self.default_organisation = default_organisation
        self._intake = intake
        self._metrics = metrics
        self._max_bytes = max_bytes

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return routes_of(self)

    @endpoint("POST /v1/traces", scope="ingest", checks_key_itself=True, takes=_TAKES, answers=_ANSWERS)
    async def traces(self, request: web.Request) -> web.Response:
        """Take spans in; answers 200 only when every charge is on disk."""
        return await self._answer(request, self._intake.traces)

    @endpoint("POST /v1/metrics", scope="ingest", checks_key_itself=True, takes=_TAKES, answers=_ANSWERS)
    async def metrics(self, request: web.Request) -> web.Response:
        """Accept metrics."""
        return await self._answer(request, self._intake.metrics)

    @endpoint("POST /v1/logs", scope="ingest", checks_key_itself=True, takes=_TAKES, answers=_ANSWERS)
    async def logs(self, request: web.Request) -> web.Response:
        """Accept logs, and keep the evaluations of answers among them."""
        return await self._answer(request, self._intake.logs)

    async def _answer(
        self, request: web.Request, take: Callable[[Encoding, bytes, Principal], Awaitable[bytes]]
    ) -> web.Response:
        signal = request.path.rsplit("/", 1)[-1]
        encoding = _ENCODINGS.get(request.content_type, PROTOBUF)  # of a refusal
        try:
            principal = await self.authenticator.authenticate(request, "ingest")
            encoding = _encoding(request)
            answer = await take(encoding, await self._body(request), principal)
            response = web.Response(body=answer, content_type=encoding.media_type)
        except P402Error as error:
            response = _refusal(error, encoding)
        except Exception:
            # A fault of ours. 503 makes the client keep the batch and try again; 500 would make it drop the batch.
            log.exception("otlp_request_failed", signal=signal)
            fault = Transient("The collector failed at this batch; its log has the details.")
            response = _refusal(fault, encoding)
        self._metrics.otlp_request(signal, response.status)
        return response

    async def _body(self, request: web.Request) -> bytes:
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


def _encoding(request: web.Request) -> Encoding:
    found = _ENCODINGS.get(request.content_type)
    if found is None:
        raise Unsupported(f"Content-Type {request.content_type!r} is not read here; send {' or '.join(_ENCODINGS)}.")
    return found


_STATUS: dict[type[P402Error], int] = {TooLarge: 413, Unsupported: 415}


def _refusal(error: P402Error, encoding: Encoding) -> web.Response:
    status = _STATUS.get(type(error)) or status_of(error)
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorised) else {}
    if isinstance(error, Transient):
        headers["Retry-After"] = "1"  # Python's exporter gives up for good on a longer one
    body = encoding.write(Status(code=_GRPC_CODES.get(status, 2), message=str(error)))
    return web.Response(status=status, body=body, content_type=encoding.media_type, headers=headers)
