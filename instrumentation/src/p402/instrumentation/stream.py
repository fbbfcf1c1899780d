"""Streams of httpx and httpx2 responses with our reading in between, synchronous and asynchronous.

The call ends once, however the stream does: read to its end, closed, failed, cancelled, or dropped and forgotten. No
context stays attached while the application holds a stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

from p402.instrumentation.abandonment import watch
from p402.instrumentation.body import Body
from p402.instrumentation.call import StreamEnd
from p402.instrumentation.hiding import HidingBody

__all__ = ["stream_classes"]


def stream_classes(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """Make the synchronous and the asynchronous class for one module, whose responses accept only its own streams."""
    return (
        type("SyncStream", (_SyncStream, module.SyncByteStream), {}),
        type("AsyncStream", (_AsyncStream, module.AsyncByteStream), {}),
    )


class _Stream:
    def __init__(self, inner: Any, body: Body | HidingBody) -> None:
        self._inner = inner
        self._body = body
        self._finalizer = watch(self, body.call)

    @property
    def elapsed(self) -> Any:
        """What httpx2's ``Response.elapsed`` reads from its stream."""
        return getattr(self._inner, "elapsed", None)

    def _finish(self, end: StreamEnd, error: BaseException | None = None) -> bytes:
        self._finalizer.detach()
        return self._body.finish(end, error)


class _SyncStream(_Stream):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._inner:
                if shown := self._body.feed(piece):
                    yield shown
            if rest := self._finish(StreamEnd.READ):
                yield rest
        except GeneratorExit:
            self._finish(StreamEnd.CLOSED)
            raise
        except BaseException as error:
            self._finish(StreamEnd.FAILED, error)
            raise

    def close(self) -> None:
        """Close the stream and end the call, if it has not ended."""
        try:
            self._inner.close()
        finally:
            self._finish(StreamEnd.CLOSED)


class _AsyncStream(_Stream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:
                if shown := self._body.feed(piece):
                    yield shown
            if rest := self._finish(StreamEnd.READ):
                yield rest
        except GeneratorExit:
            self._finish(StreamEnd.CLOSED)
            raise
        except BaseException as error:
            self._finish(StreamEnd.FAILED, error)
            raise

    async def aclose(self) -> None:
        """Close the stream and end the call, if it has not ended."""
        try:
            await self._inner.aclose()
        finally:
            self._finish(StreamEnd.CLOSED)
