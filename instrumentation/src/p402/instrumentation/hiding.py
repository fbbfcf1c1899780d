"""A stream of events on its way to the application, without the one event that is there only because we asked for usage.

SDKs read events whatever the response says it is, so what begins like an event is taken for events here too. Anything else
is handed on as it is.
"""

from __future__ import annotations

import re

from p402.instrumentation.backlog import Backlog
from p402.instrumentation.body import Body
from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.decoding import Decode
from p402.instrumentation.guard import guard
from p402.instrumentation.media_types import EVENTS, media_type
from p402.instrumentation.sse import Event, EventParser, read_event

__all__ = ["HidingBody"]

_WHOLE_EVENT = (b"}\n\n", b"}\r\n\r\n")
_EMPTY_LIST = re.compile(rb"\[\s*\]")
"""Every event that may have to be hidden has one (`is_usage_event`)."""
_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":")
_BEFORE = b"\xef\xbb\xbf\r\n"  # a byte order mark, and empty lines


class HidingBody:
    """Reads a stream for a call and gives what the application may see of it.

    Args:
        call: to be told of the events.
        content_type: for what is no stream of events.
        decode: undoes the content encoding; what it raises is for the application to see, as there are no bytes to hand on.
    """

    def __init__(self, call: Call, content_type: str, decode: Decode) -> None:
        self.call = call
        self._content_type = content_type
        self._decode = decode
        self._head = b""
        self._events = EventParser()
        self._backlog = Backlog(self._read_seen)
        self._puts_off = False
        call.catch_up = self._backlog.read
        self._plain: Body | None = None
        """Reads what is no stream of events."""
        self._hand_on: Decode = self._filter if media_type(content_type) == EVENTS else self._begin

    def feed(self, piece: bytes) -> bytes:
        """Read the next piece; give what the application shall see now, perhaps nothing yet."""
        return self._hand_on(self._decode(piece))

    def finish(self, end: StreamEnd, error: BaseException | None = None) -> bytes:
        """End the call; gives what is still held for the application."""
        rest = self._take_plainly(self._head) if self._head else self._events.rest()
        if self._plain is not None:
            self._plain.finish(end, error)
            return rest
        self._backlog.read()
        with guard("reading the end of a response"):
            rest = self._shown([read_event(rest)]) if rest else b""
        self.call.finish(end, error)
        return rest

    def _begin(self, piece: bytes) -> bytes:
        """Hold the first bytes until they tell what this is."""
        self._head += piece
        start = self._head.lstrip(_BEFORE)
        if start.startswith(_BEGINNINGS):
            head, self._head, self._hand_on = self._head, b"", self._filter
            return self._filter(head)
        if any(beginning.startswith(start) for beginning in _BEGINNINGS):
            return b""
        return self._take_plainly(self._head)

    def _take_plainly(self, head: bytes) -> bytes:
        self._head, self._hand_on = b"", bytes
        with guard("reading a response"):
            self._plain = Body(self.call, self._content_type, "")
            self._hand_on = self._plain.feed
        return self._hand_on(head)

    def _filter(self, piece: bytes) -> bytes:
        if self._puts_off and piece.endswith(_WHOLE_EVENT) and _EMPTY_LIST.search(piece) is None:
            self._backlog.add(piece)
            return piece
        self._backlog.read()
        events = None
        with guard("reading a response"):
            self.call.chunk()
            events = self._events.feed(piece)
            shown = self._shown(events)
            self._puts_off = not self._events.holds
            if self._events.overflowed:
                self._hand_on = bytes
                shown += self._events.rest()
            return shown
        self._hand_on = bytes
        if events is None:
            return self._events.rest() + piece
        return b"".join([event.raw for event in events]) + self._events.rest()

    def _read_seen(self, pieces: bytes) -> None:
        """Read events that the application has seen."""
        with guard("reading a response"):
            self._shown(self._events.feed(pieces))

    def _shown(self, events: list[Event]) -> bytes:
        if len(events) == 1:
            return b"" if self.call.event(events[0].data) else events[0].raw
        return b"".join([event.raw for event in events if not self.call.event(event.data)])
