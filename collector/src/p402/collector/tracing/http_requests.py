"""A span for each HTTP request. Source: OpenTelemetry's semantic conventions 1.44, "HTTP server"."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from opentelemetry.trace import Span, SpanKind, Tracer, use_span

from p402.collector.api.endpoint import Media, described_by
from p402.collector.tracing.own_traces import OWN_TRACES
from p402.collector.tracing.spans import failed, remote_parent

__all__ = ["http_tracing"]

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})  # asked by machines, all day long
_SERVER_ERRORS = 500


def http_tracing(tracer: Tracer) -> Middleware:
    """Give the middleware around all others, which sees what is answered."""

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = None if resource is None else resource.canonical
        if route in _UNTRACED or _is_stream(request.match_info.handler) or OWN_TRACES in request.headers:
            return await handler(request)
        method = request.method if request.method in _METHODS else "_OTHER"
        verb = method if method != "_OTHER" else "HTTP"
        span = tracer.start_span(
            verb if route is None else f"{verb} {route}",
            remote_parent(request.headers.get("traceparent")),
            SpanKind.SERVER,
            _attributes(request, method, route),
        )
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                response = await handler(request)
            _answered(span, response.status)
        except web.HTTPException as answer:  # such as a redirect
            _answered(span, answer.status)
            raise
        except BaseException as error:  # who asked is gone, or a fault that nobody told as a problem
            failed(span, type(error).__name__)
            raise
        else:
            return response
        finally:
            span.end()

    return trace


def _attributes(request: web.Request, method: str, route: str | None) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "http.request.method": method,
        "url.scheme": request.scheme,
        "network.protocol.version": f"{request.version.major}.{request.version.minor}",
    }
    if route is not None:
        found["http.route"] = route
    at: Any = request.get_extra_info("sockname")  # not the header Host, in which a sender can say anything
    if isinstance(at, tuple):
        found["server.address"], found["server.port"] = at[:2]
    return found


def _answered(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= _SERVER_ERRORS:
        failed(span, str(status))


def _is_stream(handler: Handler) -> bool:
    """Tell whether answers last as long as somebody listens."""
    described = described_by(handler)
    return described is not None and any(
        isinstance(answer, Media) and answer.media_type == "text/event-stream" for answer in described.answers.values()
    )
