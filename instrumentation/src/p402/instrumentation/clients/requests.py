"""Hooks `Session.send` of `requests`, through which every request of its goes. Nothing is added to a request."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

from opentelemetry.instrumentation.utils import unwrap
from wrapt import wrap_function_wrapper

from p402.instrumentation.body import read_whole
from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.clients.raw import decided, read_in_passing, send_inspected
from p402.instrumentation.feedback.refusal import STATUS, Refusal
from p402.instrumentation.guard import guard
from p402.instrumentation.inspection import Inspector, Outgoing

__all__ = ["RequestsHook", "outgoing"]

_FIRST_ERROR = 400


class RequestsHook:
    """The hook in ``requests``."""

    def __init__(self, module: ModuleType, inspector: Inspector) -> None:
        self._module: Any = module
        self._inspector = inspector
        wrap_function_wrapper(module, "Session.send", self._send)

    def remove(self) -> None:
        """Undo it."""
        unwrap(self._module.Session, "send")

    def _send(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = args[0] if args else kwargs["request"]
        inspected = None
        with guard("looking at a request of requests"):
            inspected = decided(self._inspector.inspect(outgoing(request)))
        if inspected is None:
            return wrapped(*args, **kwargs)
        if inspected.refusal is not None:
            return self._refusal(request, inspected.refusal)
        for name in inspected.dropped_headers:
            request.headers.pop(name, None)
        response = send_inspected(inspected, lambda: wrapped(*args, **kwargs))
        if inspected.call is not None:
            _answered(inspected.call, response)
        return response

    def _refusal(self, request: Any, refusal: Refusal) -> Any:
        """Answer in the provider's stead."""
        response = self._module.Response()
        response.status_code, response.reason = STATUS, "Forbidden"
        response.headers.update(refusal.headers)
        response.raw = BytesIO(refusal.body)
        response.url, response.request = request.url, request
        return response


def outgoing(request: Any) -> Outgoing:
    """Describe a prepared request, of ``requests`` or of botocore."""
    url = urlsplit(request.url)
    body = request.body.encode() if isinstance(request.body, str) else request.body
    return Outgoing(
        method=request.method,
        host=url.hostname or "",
        port=url.port or {"http": 80, "https": 443}.get(url.scheme),
        path=unquote(url.path),
        headers={name.lower(): _text(value) for name, value in request.headers.items()},
        body=bytes(body) if isinstance(body, bytes | bytearray) else None,  # anything else can be read only once
        can_hide=False,
    )


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _answered(call: Call, response: Any) -> None:
    """Read the body if it has been read, else read it in passing."""
    with guard("looking at a response of requests"):
        content_type = response.headers.get("content-type", "")
        call.answered(response.status_code, content_type)
        if response.status_code >= _FIRST_ERROR:
            call.finish(StreamEnd.READ)
            return
        if response._content_consumed:  # noqa: SLF001 - else `content` would read a stream
            read_whole(call, content_type, response.content)
        else:
            response.raw = read_in_passing(
                response.raw, call, content_type, response.headers.get("content-encoding", "")
            )
        return
    call.finish(StreamEnd.FAILED)
