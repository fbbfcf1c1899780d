"""Hooks `Client.send` and `AsyncClient.send` of httpx and of httpx2, through which every request of theirs goes.

`send` is public, covers custom transports, is called once for each attempt of an SDK, and is outside of what
`opentelemetry-instrumentation-httpx` wraps, so that its span becomes the child of ours.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

from opentelemetry import context
from opentelemetry.instrumentation.utils import unwrap
from wrapt import wrap_function_wrapper

from p402.instrumentation.body import Body, read_whole
from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.decoding import Decode, decoder
from p402.instrumentation.feedback.refusal import STATUS, Refusal
from p402.instrumentation.guard import guard
from p402.instrumentation.hiding import HidingBody
from p402.instrumentation.inspection import READ_HEADERS, Inspected, Inspector, Outgoing, Undecided
from p402.instrumentation.stream import stream_classes

__all__ = ["HttpxHook"]

_FIRST_ERROR = 400
_REFUSALS = (400, 422)
_PORTS = {"http": 80, "https": 443}
_READ_HEADERS = frozenset(name.encode() for name in READ_HEADERS)
_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class HttpxHook:
    """The hook in one module, ``httpx`` or ``httpx2``, which have the same classes."""

    def __init__(self, module: ModuleType, inspector: Inspector) -> None:
        self._module: Any = module
        self._inspector = inspector
        self._sync_stream, self._async_stream = stream_classes(module)
        wrap_function_wrapper(module, "Client.send", self._send)
        wrap_function_wrapper(module, "AsyncClient.send", self._send_async)

    def remove(self) -> None:
        """Undo it."""
        unwrap(self._module.Client, "send")
        unwrap(self._module.AsyncClient, "send")

    def _send(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outgoing, found = self._inspect(args, kwargs)
        inspected = found.result() if isinstance(found, Undecided) else found
        if inspected is None:
            return wrapped(*args, **kwargs)
        sent = self._sent(outgoing, inspected, args, kwargs)
        if inspected.refusal is not None:
            return self._refusal(inspected.refusal, sent)
        token = context.attach(inspected.context)
        try:
            response = wrapped(*sent[0], **sent[1])
            if _may_refuse(inspected, response):
                response.read()
        except BaseException as error:
            _fail(inspected.call, error)
            raise
        finally:
            context.detach(token)
        self._answered(outgoing, inspected.call, response, self._sync_stream)
        if self._refused(outgoing, inspected, response):
            return self._send(wrapped, _, args, kwargs)
        return response

    async def _send_async(
        self, wrapped: Callable[..., Awaitable[Any]], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        outgoing, found = self._inspect(args, kwargs)
        inspected = await found.result_async() if isinstance(found, Undecided) else found
        if inspected is None:
            return await wrapped(*args, **kwargs)
        sent = self._sent(outgoing, inspected, args, kwargs)
        if inspected.refusal is not None:
            return self._refusal(inspected.refusal, sent)
        token = context.attach(inspected.context)
        try:
            response = await wrapped(*sent[0], **sent[1])
            if _may_refuse(inspected, response):
                await response.aread()
        except BaseException as error:
            _fail(inspected.call, error)
            raise
        finally:
            context.detach(token)
        self._answered(outgoing, inspected.call, response, self._async_stream)
        if self._refused(outgoing, inspected, response):
            return await self._send_async(wrapped, _, args, kwargs)
        return response

    def _inspect(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Outgoing | None, Inspected | Undecided | None]:
        """Look at the request."""
        with guard("looking at a request of httpx"):
            outgoing = _outgoing(_request(args, kwargs), can_hide=kwargs.get("stream") is True)
            return outgoing, self._inspector.inspect(outgoing)
        return None, None

    def _sent(
        self, outgoing: Outgoing | None, inspected: Inspected, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Arguments:
        """Give the arguments to go on with."""
        with guard("changing a request of httpx"):
            for name in inspected.dropped_headers:
                if outgoing is not None and name in outgoing.headers:
                    del _request(args, kwargs).headers[name]
            if inspected.body is not None or inspected.path is not None:
                changed = self._changed(_request(args, kwargs), inspected)
                return (changed, *args[1:]), {k: v for k, v in kwargs.items() if k != "request"}
        return args, kwargs

    def _refusal(self, refusal: Refusal, sent: _Arguments) -> Any:
        """Answer in the provider's stead."""
        response = self._module.Response(
            STATUS, headers=dict(refusal.headers), content=refusal.body, request=_request(*sent)
        )
        response.elapsed = timedelta(0)
        return response

    def _refused(self, outgoing: Outgoing | None, inspected: Inspected, response: Any) -> bool:
        """Tell whether a server refused the request because of what we added; then it must be sent as it was."""
        with guard("looking at a refusal"):
            if outgoing and _may_refuse(inspected, response) and b"stream_options" in response.content:
                self._inspector.stop_asking(outgoing)
                return True
        return False

    def _changed(self, request: Any, inspected: Inspected) -> Any:
        """Make a request that differs; the application's own, which it may send again, stays as it is."""
        kept = [(name, value) for name, value in request.headers.multi_items() if name != "content-length"]
        changed = self._module.Request(
            request.method,
            request.url if inspected.path is None else request.url.copy_with(path=inspected.path),
            headers=kept,
            content=request.content if inspected.body is None else inspected.body,
            extensions=request.extensions,
        )
        changed.headers.update(inspected.headers)
        return changed

    def _answered(self, outgoing: Outgoing | None, call: Call | None, response: Any, stream_class: type[Any]) -> None:
        """Read the body if it has been read, else read it in passing."""
        if call is None:
            return
        with guard("looking at a response of httpx"):
            content_type = response.headers.get("content-type", "")
            call.answered(response.status_code, content_type)
            if response.status_code >= _FIRST_ERROR:
                call.finish(StreamEnd.READ)
            elif call.hides_usage and (decode := self._decoder(outgoing, response)) is not None:
                _hide(response, HidingBody(call, content_type, decode), stream_class)
            elif response.is_closed:
                read_whole(call, content_type, response.content)
            else:
                encoding = response.headers.get("content-encoding", "")
                response.stream = stream_class(response.stream, Body(call, content_type, encoding))
            return
        _fail(call, None)

    def _decoder(self, outgoing: Outgoing | None, response: Any) -> Decode | None:
        """Make a decoder for a body out of which an event may have to be taken; None where it cannot be decoded."""
        encoding = response.headers.get("content-encoding", "").lower().replace("identity", "")
        if encoding and outgoing is not None:  # although we asked for none
            self._inspector.stop_asking(outgoing)
        return decoder("" if response.is_closed else encoding)


def _hide(response: Any, body: HidingBody, stream_class: type[Any]) -> None:
    """Put a body in the place of the response's own, and take off the headers that may not fit any more."""
    if response.is_closed:  # a hook of the application's has read it
        response._content = body.feed(response.content) + body.finish(StreamEnd.READ)  # noqa: SLF001
    else:
        response.stream = stream_class(response.stream, body)
    for name in ("content-encoding", "content-length"):
        response.headers.pop(name, None)


def _may_refuse(inspected: Inspected, response: Any) -> bool:
    return inspected.call is not None and inspected.call.hides_usage and response.status_code in _REFUSALS


def _request(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs["request"]


def _outgoing(request: Any, *, can_hide: bool) -> Outgoing:
    url = request.url
    # Without `_content` it is a stream that can be read only once, and `content` would raise.
    in_memory = hasattr(request, "_content")
    return Outgoing(
        method=request.method,
        host=url.host,
        port=url.port or _PORTS.get(url.scheme),
        path=url.path,
        headers=_headers(request.headers.raw),
        body=request.content if in_memory else _form(request.stream),
        can_hide=can_hide,
        can_change=in_memory,
    )


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Read the headers at once: httpx looks through all of them for each."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for given, value in raw
        if (name := given.lower()) in _READ_HEADERS
    }


def _form(stream: Any) -> bytes | None:
    """Read the texts of a form that is sent with a file, as those for transcriptions are."""
    values = {field.name: getattr(field, "value", None) for field in getattr(stream, "fields", ())}
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    return json.dumps(texts).encode() if texts else None


def _fail(call: Call | None, error: BaseException | None) -> None:
    if call is not None:
        with guard("ending a failed call"):
            call.finish(StreamEnd.FAILED, error)
