"""One response's body, read in passing on its way to the application."""

from __future__ import annotations

from collections.abc import Callable

from p402.instrumentation.backlog import Backlog
from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.decoding import decoder
from p402.instrumentation.eventstream import MessageParser
from p402.instrumentation.guard import guard
from p402.instrumentation.lines import LineParser
from p402.instrumentation.media_types import EVENTS, LINES, MESSAGES, media_type
from p402.instrumentation.sse import EventParser, read_event

__all__ = ["Body", "read_whole"]

_MOST_BYTES = 64 * 1024 * 1024
"""A body that is no stream of events is kept until it is complete, up to this size; a longer one is not read."""

_PARSERS: dict[str, Callable[[], EventParser | LineParser | MessageParser]] = {
    EVENTS: EventParser,
    LINES: LineParser,
    MESSAGES: MessageParser,
}
_MEDIA = ("audio/", "image/", "video/")


def read_whole(call: Call, content_type: str, content: bytes) -> None:
    """Read a body that the client has read and decoded already, and end the call."""
    kind = media_type(content_type)
    if call.framing is None and kind not in _PARSERS and not kind.startswith(_MEDIA) and len(content) <= _MOST_BYTES:
        call.chunk()
        call.document(content)
        call.finish(StreamEnd.READ)
        return
    body = Body(call, content_type, "")
    body.feed(content)
    body.finish(StreamEnd.READ)


class Body:
    """Reads a body piece by piece for a call; whatever fails in here, the application gets its bytes."""

    def __init__(self, call: Call, content_type: str, content_encoding: str) -> None:
        self.call = call
        self._decode = decoder(content_encoding)
        kind = media_type(content_type)
        make = call.framing or _PARSERS.get(kind)
        self._parser = make() if make else None
        self._whole = bytearray()
        self._reading = self._decode is not None and not kind.startswith(_MEDIA)
        self._backlog = Backlog(self._see)
        self._puts_off = False
        call.catch_up = self._backlog.read
        if not self._reading:
            call.unreadable()

    def feed(self, piece: bytes) -> bytes:
        """Read the next piece, or put it off; gives it back, to be handed on."""
        if self._puts_off:
            self._backlog.add(piece)
        elif self._reading:
            self._see(piece)
        return piece

    def finish(self, end: StreamEnd, error: BaseException | None = None) -> bytes:
        """End the call; nothing is held back for the application."""
        self._backlog.read()
        if self._reading:
            self._stop()
            with guard("reading the end of a response"):
                self._read_end()
        self.call.finish(end, error)
        return b""

    def _see(self, piece: bytes) -> None:
        with guard("reading a response"):
            self.call.chunk()
            self._read(piece)
            return
        self._stop()

    def _read(self, piece: bytes) -> None:
        assert self._decode is not None
        plain = self._decode(piece)
        if self._parser is None:
            self._keep(plain)
            return
        for event in self._parser.feed(plain):
            self.call.event(event.data)
        self._puts_off = True
        if self._parser.overflowed:
            self._stop()

    def _keep(self, plain: bytes) -> None:
        self._whole += plain
        if len(self._whole) > _MOST_BYTES:
            self._whole.clear()
            self._stop()
            self.call.unreadable()

    def _read_end(self) -> None:
        if self._parser is None:
            self.call.document(bytes(self._whole))
        elif isinstance(self._parser, LineParser):
            self.call.event(self._parser.rest().strip())
        elif isinstance(self._parser, EventParser):
            self.call.event(read_event(self._parser.rest()).data)

    def _stop(self) -> None:
        self._reading = self._puts_off = False
