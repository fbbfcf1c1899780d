"""One response's body on its way to the application: read in passing, and handed on.

Pieces of a stream are put off, as far as the application may see them anyway, and read some hundred at a time: reading one
between two steps of the application costs four times as much, since the processor has turned to other code by then.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.decoding import decoder
from p402.instrumentation.eventstream import MessageParser
from p402.instrumentation.guard import guard
from p402.instrumentation.lines import LineParser
from p402.instrumentation.media_types import EVENTS, LINES, MESSAGES, media_type
from p402.instrumentation.sse import Event, EventParser, read_event

__all__ = ["Body", "read_whole"]

_MOST_BYTES = 64 * 1024 * 1024
"""A body that is no stream of events is kept until it is complete, up to this size; a longer one is not read."""

_MOST_WAITING = 64 * 1024
"""Bytes of a stream that are put off, before they are read."""

_PARSERS: dict[str, Callable[[], EventParser | LineParser | MessageParser]] = {
    EVENTS: EventParser,
    LINES: LineParser,
    MESSAGES: MessageParser,
}
_MEDIA = ("audio/", "image/", "video/")
_WHOLE_EVENT = (b"}\n\n", b"}\r\n\r\n")
_EMPTY_LIST = re.compile(rb"\[\s*\]")
"""Every event that may have to be hidden has one (`is_usage_event`)."""


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
    """Reads a body piece by piece for a call. Whatever fails in here, the application gets its bytes."""

    def __init__(self, call: Call, content_type: str, content_encoding: str) -> None:
        self.call = call
        self._decode = decoder(content_encoding)
        kind = media_type(content_type)
        make = call.framing or _PARSERS.get(kind)
        self._parser = make() if make else None
        self._whole = bytearray()
        self._reading = self._decode is not None and not kind.startswith(_MEDIA)
        # Only a stream whose bytes are the events themselves can be handed on without one of them.
        self._hides = (
            call.hides_usage and isinstance(self._parser, EventParser) and content_encoding.lower() in {"", "identity"}
        )
        self._later: list[bytes] | None = None
        """Pieces of a stream that are put off; None while the next one has to be read at once."""
        self._waiting = 0
        if not self._reading:
            call.unreadable()

    def feed(self, piece: bytes) -> bytes:
        """Read the next piece; give what the application shall see now, perhaps nothing yet."""
        later = self._later
        if later is not None and (
            not self._hides or (piece.endswith(_WHOLE_EVENT) and _EMPTY_LIST.search(piece) is None)
        ):
            later.append(piece)
            self._waiting += len(piece)
            if self._waiting > _MOST_WAITING:
                self._catch_up()
            return piece
        if not self._reading:
            return piece
        self._catch_up()
        with guard("reading a response"):
            self.call.chunk()
            shown = self._read(piece)
            self._may_put_off()
            return shown
        self._reading = False
        return self._held() + piece if self._hides else piece

    def _may_put_off(self) -> None:
        """Put off what comes from now on, if it begins with a new event, or if all of it may be seen anyway."""
        if self._reading and self._parser is not None and not (self._hides and self._parser.holds):
            self._later, self.call.catch_up = [], self._catch_up

    def _catch_up(self) -> None:
        """Read what was put off; the application has seen it."""
        later, self._later, self._waiting = self._later, None, 0
        if not later:
            return
        with guard("reading a response"):
            self._read(b"".join(later))
            self._may_put_off()
            return
        self._reading = False

    def finish(self, end: StreamEnd, error: BaseException | None = None) -> bytes:
        """End the call; gives what is still held for the application."""
        self._catch_up()
        held = self._held()
        if self._reading:
            self._reading = False
            with guard("reading the end of a response"):
                held = self._finish(held)
        self.call.finish(end, error)
        return held if self._hides else b""

    def _read(self, piece: bytes) -> bytes:
        assert self._decode is not None
        plain = self._decode(piece)
        if self._parser is None:
            self._whole += plain
            if len(self._whole) > _MOST_BYTES:
                self._whole.clear()
                self._reading = False
                self.call.unreadable()
            return piece
        shown = self._shown(self._parser.feed(plain))
        if self._parser.overflowed:
            self._reading = False
            shown += self._parser.rest()
        return shown if self._hides else piece

    def _finish(self, held: bytes) -> bytes:
        if self._parser is None:
            self.call.document(bytes(self._whole))
        if isinstance(self._parser, LineParser):
            return self._shown([Event(held, held.strip())])
        return self._shown([read_event(held)]) if held and isinstance(self._parser, EventParser) else b""

    def _shown(self, events: list[Event]) -> bytes:
        if len(events) == 1:
            return b"" if self.call.event(events[0].data) else events[0].raw
        return b"".join([event.raw for event in events if not self.call.event(event.data)])

    def _held(self) -> bytes:
        return self._parser.rest() if self._parser else b""
