"""Hooks aiohttp's client: a middleware in every `ClientSession`, and a reader around the body of a response.

google-genai's async client uses aiohttp whenever that is installed. Needs aiohttp 3.12 or later (client middlewares).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from http.cookies import SimpleCookie
from types import ModuleType
from typing import Any

import wrapt
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict, CIMultiDictProxy
from opentelemetry import context
from opentelemetry.instrumentation.utils import unwrap

from p402.instrumentation.abandonment import watch
from p402.instrumentation.body import Body
from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.feedback.refusal import STATUS, Refusal
from p402.instrumentation.guard import guard
from p402.instrumentation.inspection import Inspected, Inspector, Outgoing, Undecided

__all__ = ["AiohttpHook"]

_FIRST_ERROR = 400
_Handler = Callable[[Any], Awaitable[Any]]
_Middleware = Callable[[Any, _Handler], Awaitable[Any]]


class AiohttpHook:
    """The hook in aiohttp."""

    def __init__(self, module: ModuleType, inspector: Inspector) -> None:
        if not hasattr(module, "ClientMiddlewareType"):
            raise RuntimeError("aiohttp has client middlewares from version 3.12 on; please update it.")
        self._module: Any = module
        self._inspector: Inspector | None = inspector
        wrapt.wrap_function_wrapper(module, "ClientSession.__init__", self._init)
        wrapt.wrap_function_wrapper(module, "ClientSession._request", self._request)

    def remove(self) -> None:
        """Undo it, also in sessions that exist."""
        self._inspector = None
        unwrap(self._module.ClientSession, "__init__")
        unwrap(self._module.ClientSession, "_request")

    def _init(self, wrapped: Callable[..., None], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        wrapped(*args, **{**kwargs, "middlewares": self._with_ours(kwargs.get("middlewares") or ())})

    def _request(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs.get("middlewares") is not None:  # a request's own take the place of the session's
            kwargs = {**kwargs, "middlewares": self._with_ours(kwargs["middlewares"])}
        return wrapped(*args, **kwargs)

    def _with_ours(self, others: Iterable[_Middleware]) -> tuple[_Middleware, ...]:
        """Put ours last, which is innermost: an application's own middleware that retries or rewrites comes before us."""
        return (*(other for other in others if other != self._middleware), self._middleware)

    async def _middleware(self, request: Any, handler: _Handler) -> Any:
        found = None
        with guard("looking at a request of aiohttp"):
            found = await self._inspect(request)
        inspected = await found.result_async() if isinstance(found, Undecided) else found
        if inspected is None:
            return await handler(request)
        if inspected.refusal is not None:
            with guard("refusing a request of aiohttp"):
                return self._refusal(request, inspected.refusal)
            raise self._module.ClientResponseError(
                request.request_info, (), status=STATUS, message="Refused by P402 Meter"
            )
        with guard("changing a request of aiohttp"):
            await _change(request, inspected)
        call, token = inspected.call, context.attach(inspected.context)
        try:
            response = await handler(request)
        except BaseException as error:
            if call is not None:
                call.finish(StreamEnd.FAILED, error)
            raise
        finally:
            context.detach(token)
        if call is not None:
            _answered(call, response)
        return response

    async def _inspect(self, request: Any) -> Inspected | Undecided | None:
        if self._inspector is None:
            return None
        body = await self._body(request)
        return self._inspector.inspect(
            Outgoing(
                method=request.method,
                host=request.url.host or "",
                port=request.url.port,
                path=request.url.path,
                headers=request.headers,
                body=body,
                can_hide=False,
                can_change=body is not None and hasattr(request, "update_body"),
            )
        )

    def _refusal(self, request: Any, refusal: Refusal) -> Any:
        """Answer in the provider's stead: a response that has been read, on no connection."""
        loop = asyncio.get_running_loop()
        response = request.response_class.__new__(request.response_class)
        content = self._module.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
        content.feed_data(refusal.body)
        content.feed_eof()
        headers = CIMultiDict(refusal.headers)
        raw_headers = tuple((name.encode(), value.encode()) for name, value in refusal.headers.items())
        vars(response).update(
            method=request.method,
            version=self._module.HttpVersion11,
            status=STATUS,
            reason="Forbidden",
            content=content,
            cookies=SimpleCookie(),
            _real_url=request.url,
            _url=request.url,
            _request_info=request.request_info,
            _headers=CIMultiDictProxy(headers),
            _raw_headers=raw_headers,
            _body=refusal.body,
            _cache={},
            _traces=[],
            _loop=loop,
            _history=(),
        )
        return response

    async def _body(self, request: Any) -> bytes | None:
        """Read a body that is in memory; one that comes from a file or a generator can be read only once."""
        if isinstance(request.body, self._module.BytesPayload):
            return bytes(await request.body.as_bytes())
        return request.body if isinstance(request.body, bytes) else None


async def _change(request: Any, inspected: Inspected) -> None:
    """Change the attempt that aiohttp has made of the application's request."""
    for name in inspected.dropped_headers:
        request.headers.popall(name, None)
    for name, value in inspected.headers.items():
        request.headers[name] = value
    if inspected.body is not None:
        await request.update_body(inspected.body)
    if inspected.path is not None:
        request.url = request.url.with_path(inspected.path).with_query(request.url.query)


def _answered(call: Call, response: Any) -> None:
    with guard("looking at a response of aiohttp"):
        content_type = response.headers.get("Content-Type", "")
        call.answered(response.status, content_type)
        if response.status >= _FIRST_ERROR:
            call.finish(StreamEnd.READ)
            return
        # aiohttp undoes the content encoding before the bytes get here, unless the session was told not to.
        decoded = getattr(getattr(response, "_session", None), "auto_decompress", True)
        encoding = "" if decoded else response.headers.get("Content-Encoding", "")
        response.content = _Reader(response.content, Body(call, content_type, encoding))
        return
    call.finish(StreamEnd.FAILED)


class _Reader(wrapt.ObjectProxy[Any]):
    """Stands for a response's `StreamReader` and shows every piece that the application reads to a `Body`."""

    def __init__(self, reader: Any, body: Body) -> None:
        super().__init__(reader)
        self._self_body = body
        self._self_finalizer = watch(self, body.call)

    async def read(self, n: int = -1) -> bytes:
        return await self._self_seen(self.__wrapped__.read(n))

    async def readany(self) -> bytes:
        return await self._self_seen(self.__wrapped__.readany())

    async def readexactly(self, n: int) -> bytes:
        return await self._self_seen(self.__wrapped__.readexactly(n))

    async def readline(self, **limits: Any) -> bytes:
        return await self._self_seen(self.__wrapped__.readline(**limits))

    async def readuntil(self, separator: bytes = b"\n", **limits: Any) -> bytes:
        return await self._self_seen(self.__wrapped__.readuntil(separator, **limits))

    async def readchunk(self) -> tuple[bytes, bool]:
        ends: list[bool] = []

        async def piece() -> bytes:
            data, end = await self.__wrapped__.readchunk()
            ends.append(end)
            return bytes(data)

        return await self._self_seen(piece()), ends[0]

    def read_nowait(self, n: int = -1) -> bytes:
        data: bytes = self.__wrapped__.read_nowait(n)
        self._self_show(data)
        return data

    async def iter_any(self) -> AsyncIterator[bytes]:
        while data := await self.readany():
            yield data

    async def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        while data := await self.read(n):
            yield data

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        while (chunk := await self.readchunk()) != (b"", False):
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line

    def set_exception(self, error: BaseException, *args: Any) -> None:
        """End the call: aiohttp does this to a body that is released or closed before it has been read."""
        self._self_finish(StreamEnd.CLOSED)
        self.__wrapped__.set_exception(error, *args)

    async def _self_seen(self, reading: Awaitable[bytes]) -> bytes:
        try:
            data = await reading
        except BaseException as error:
            self._self_finish(StreamEnd.FAILED, error)
            raise
        self._self_show(data)
        return data

    def _self_show(self, data: bytes) -> None:
        if data:
            self._self_body.feed(data)
        if self.__wrapped__.at_eof():
            self._self_finish(StreamEnd.READ)

    def _self_finish(self, end: StreamEnd, error: BaseException | None = None) -> None:
        self._self_finalizer.detach()
        self._self_body.finish(end, error)
