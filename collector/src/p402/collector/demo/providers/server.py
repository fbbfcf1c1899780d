"""The HTTP side of the mock providers: takes requests, refuses or answers them, and breaks down on demand."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal

from aiohttp import web

from p402.collector.demo.providers import anthropic, gemini, openai
from p402.collector.demo.providers.script import ProviderCall, Reply, default_script
from p402.collector.demo.providers.wire import Api, Endpoint, Event

__all__ = ["REFUSED_KEY", "MockProviders", "running"]

REFUSED_KEY = "invalid"
"""The one API key that is refused; any other will do."""

_MAX_REQUEST_BYTES = 64 * 1024 * 1024


class MockProviders:
    """OpenAI, Anthropic and Gemini in one server. What it does can be changed while it runs."""

    def __init__(self, script: Callable[[ProviderCall], Reply] = default_script) -> None:
        self.script = script
        self.requests: list[ProviderCall] = []
        """Every request with a readable body, in order of arrival; the refused ones too."""
        self.cut_streams = False
        """Drop the connection in the middle of every stream."""
        self.answer_delay_seconds = 0.0
        """Wait this long before every answer."""
        self.chunk_delay_seconds = 0.0
        """Wait this long after every event of a stream."""
        self.encoding: Literal["gzip", "br"] | None = None
        """Compress answers this way for those who accept it; ``br`` needs the package ``brotli``."""
        self._failures: list[int] = []
        self._numbers = itertools.count(1)

    def fail_next(self, status: int, times: int = 1) -> None:
        """Answer the next requests with this HTTP status, in their provider's own error shape."""
        self._failures.extend([status] * times)

    def application(self) -> web.Application:
        """Make the server's application."""
        application = web.Application(client_max_size=_MAX_REQUEST_BYTES)
        for api in (openai.API, anthropic.API, gemini.API):
            for path, endpoint in api.endpoints.items():
                application.router.add_post(path, partial(self._handle, api, endpoint))
        return application

    async def _handle(self, api: Api, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        number = next(self._numbers)
        headers = {api.request_id_header: f"req_{number:012d}"}
        call = _read(api, endpoint, request, await request.read())
        if isinstance(call, str):
            return web.json_response(api.error(400, call), status=400, headers=headers)
        self.requests.append(call)
        if not _has_key(api, call):
            return web.json_response(api.error(401, "This API key is not valid."), status=401, headers=headers)
        if self._failures:
            status = self._failures.pop(0)
            return web.json_response(api.error(status, "Failing as told."), status=status, headers=headers)
        if self.answer_delay_seconds:
            await asyncio.sleep(self.answer_delay_seconds)
        reply = self.script(call)
        encoding = self.encoding if self.encoding and self.encoding in call.headers.get("accept-encoding", "") else None
        compressor = _Compressor(encoding)
        if encoding:
            headers["content-encoding"] = encoding
        if call.stream and endpoint.stream:
            return await self._stream(request, endpoint.stream(call, reply, number), headers, compressor)
        data = compressor.add(json.dumps(endpoint.answer(call, reply, number)).encode()) + compressor.end()
        return web.Response(body=data, content_type="application/json", headers=headers)

    async def _stream(
        self, request: web.Request, events: list[Event], headers: dict[str, str], compressor: _Compressor
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={**headers, "content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for index, event in enumerate(events):
            if self.cut_streams and index == len(events) // 2:
                if request.transport:
                    request.transport.close()
                return response
            data = compressor.add(event.encode())
            for part in (data[:7], data[7:]):  # a network splits where it likes, inside a line too
                await response.write(part)
            if self.chunk_delay_seconds:
                await asyncio.sleep(self.chunk_delay_seconds)
        await response.write_eof(compressor.end())
        return response


@asynccontextmanager
async def running(providers: MockProviders, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve the providers while the block runs and give the base URL, without a slash at its end.

    Port 0 takes a free one. OpenAI's base URL is this one with ``/v1``.
    """
    runner = web.AppRunner(providers.application(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        [(_, bound_port, *_)] = runner.addresses
        yield f"http://{host}:{bound_port}"
    finally:
        await runner.cleanup()


class _Compressor:
    """Compresses a body piece by piece; each piece can be read as soon as it arrives."""

    def __init__(self, encoding: str | None) -> None:
        # brotli is not among the collector's dependencies, so it is imported by those who ask for it
        self._gzip = zlib.compressobj(wbits=31) if encoding == "gzip" else None
        self._brotli = importlib.import_module("brotli").Compressor() if encoding == "br" else None

    def add(self, data: bytes) -> bytes:
        if self._gzip:
            return self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        if self._brotli:
            return bytes(self._brotli.process(data) + self._brotli.flush())
        return data

    def end(self) -> bytes:
        if self._gzip:
            return self._gzip.flush()
        return bytes(self._brotli.finish()) if self._brotli else b""


def _read(api: Api, endpoint: Endpoint, request: web.Request, raw: bytes) -> ProviderCall | str:
    try:
        body = json.loads(raw)
    except ValueError:
        return "The body of the request is not JSON."
    if not isinstance(body, dict):
        return "The body of the request is not a JSON object."
    model_in_path = request.match_info.get("model")
    model = model_in_path or body.get("model")
    if not isinstance(model, str):
        return "The request names no model."
    stream = endpoint.stream is not None if model_in_path else body.get("stream") is True
    headers = {name.lower(): value for name, value in request.headers.items()}
    return ProviderCall(api.provider, request.path, model, stream, body, headers)


def _has_key(api: Api, call: ProviderCall) -> bool:
    for header, prefix in api.keys:
        value = call.headers.get(header, "")
        if value.startswith(prefix) and value.removeprefix(prefix).strip() not in {"", REFUSED_KEY}:
            return True
    return False
