"""What `requests` and botocore have in common: sending in a call's context, and reading urllib3's bodies in passing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import wrapt
from opentelemetry import context

from p402.instrumentation.abandonment import watch
from p402.instrumentation.body import Body
from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.inspection import Inspected, Undecided

__all__ = ["decided", "read_in_passing", "send_inspected"]


def decided(found: Inspected | Undecided | None) -> Inspected | None:
    """Wait for a decision, where there is one to wait for."""
    return found.result() if isinstance(found, Undecided) else found


def send_inspected(inspected: Inspected, send: Callable[[], Any]) -> Any:
    """Send a request in the context that it was given; if that fails, its call has failed."""
    token = context.attach(inspected.context)
    try:
        return send()
    except BaseException as error:
        if inspected.call is not None:
            inspected.call.finish(StreamEnd.FAILED, error)
        raise
    finally:
        context.detach(token)


def read_in_passing(raw: Any, call: Call, content_type: str, content_encoding: str) -> Any:
    """Give what stands for a urllib3 response and tells the call what the application reads."""
    return _RawBody(raw, call, content_type, content_encoding)


class _RawBody(wrapt.ObjectProxy[Any]):
    """Whether bytes come decoded is up to who reads them, so the first reading decides it."""

    def __init__(self, raw: Any, call: Call, content_type: str, content_encoding: str) -> None:
        super().__init__(raw)
        self._self_call = call
        self._self_content = (content_type, content_encoding)
        self._self_body: Body | None = None
        self._self_finalizer = watch(self, call)

    def read(self, amt: int | None = None, decode_content: bool | None = None, **options: Any) -> bytes:  # noqa: FBT001 - as urllib3 has it
        decoded = self.__wrapped__.decode_content if decode_content is None else decode_content
        reading = self._self_seen(lambda: self.__wrapped__.read(amt, decode_content=decode_content, **options))
        self._self_show(reading, decoded=decoded)
        if amt is None or (not reading and amt):
            self._self_finish(StreamEnd.READ)
        return reading

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:  # noqa: FBT001 - as urllib3 has it
        decoded = self.__wrapped__.decode_content if decode_content is None else decode_content
        reading = self._self_seen(lambda: self.__wrapped__.read1(amt, decode_content=decode_content))
        self._self_show(reading, decoded=decoded)
        if not reading and amt != 0:
            self._self_finish(StreamEnd.READ)
        return reading

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self, *limit: int) -> bytes:
        line = self._self_seen(lambda: self.__wrapped__.readline(*limit))
        self._self_show(line, decoded=self.__wrapped__.decode_content)
        if not line:
            self._self_finish(StreamEnd.READ)
        return line

    def readlines(self, *hint: int) -> list[bytes]:
        del hint
        return self.read().splitlines(keepends=True)

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:  # noqa: FBT001 - as urllib3 has it
        decoded = self.__wrapped__.decode_content if decode_content is None else decode_content
        pieces = self.__wrapped__.stream(amt, decode_content=decode_content)
        try:
            for piece in pieces:
                self._self_show(piece, decoded=decoded)
                yield piece
            self._self_finish(StreamEnd.READ)
        except GeneratorExit:
            self._self_finish(StreamEnd.CLOSED)
            raise
        except BaseException as error:
            self._self_finish(StreamEnd.FAILED, error)
            raise

    def __iter__(self) -> Iterator[bytes]:
        """Give lines, as urllib3 does."""
        rest = b""
        for piece in self.stream(decode_content=True):
            *lines, rest = (rest + piece).split(b"\n")
            yield from (line + b"\n" for line in lines)
        if rest:
            yield rest

    def close(self) -> None:
        """Close it and end the call, if it has not ended."""
        try:
            self.__wrapped__.close()
        finally:
            self._self_finish(StreamEnd.CLOSED)

    def _self_seen(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except BaseException as error:
            self._self_finish(StreamEnd.FAILED, error)
            raise

    def _self_show(self, piece: bytes, *, decoded: bool) -> None:
        if piece:
            if self._self_body is None:
                content_type, encoding = self._self_content
                self._self_body = Body(self._self_call, content_type, "" if decoded else encoding)
            self._self_body.feed(piece)

    def _self_finish(self, end: StreamEnd, error: BaseException | None = None) -> None:
        self._self_finalizer.detach()
        (self._self_body or self._self_call).finish(end, error)
