"""Listens to the collector's events on a thread of its own: rules have changed, somebody waits, the key is revoked."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from p402.instrumentation.feedback.transport import EventSource, Transport, Unreachable
from p402.instrumentation.guard import guard
from p402.instrumentation.sse import EventParser

__all__ = ["Listener", "Stream"]

_SHORTEST, _LONGEST = 0.25, 15.0


class Listener(Protocol):
    """Who is told. Called on the stream's thread."""

    def rules_changed(self, organisation: str, version: int) -> None:
        """Hear which version of the rules is current."""
        ...

    def recalled(self) -> None:
        """Hear that somebody waits for what others hold."""
        ...

    def revoked(self) -> None:
        """Hear that the key is not valid any more."""
        ...


class Stream:
    """The events of one organisation. Reconnects, with longer and longer pauses, until it is closed."""

    def __init__(self, transport: Transport, listener: Listener) -> None:
        self._transport = transport
        self._listener = listener
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._organisation: str | None = None
        self._source: EventSource | None = None
        self.connected = False
        """Whether every change of this organisation's rules is heard of at once."""

    def start(self, organisation: str) -> None:
        """Begin to listen, if that has not been done."""
        if self._thread is None and not self._closed.is_set():
            with self._lock:
                if self._thread is None:
                    self._organisation = organisation
                    self._thread = threading.Thread(target=self._run, name="p402-stream", daemon=True)
                    with suppress(RuntimeError):  # the interpreter is about to exit
                        self._thread.start()

    def covers(self, organisation: str) -> bool:
        """Tell whether changes of an organisation's rules are heard of at once."""
        return self.connected and organisation == self._organisation

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()
        if self._source is not None:
            self._source.cut()

    def _run(self) -> None:
        pause = _SHORTEST
        while not self._closed.is_set():
            heard = False
            with guard("listening to the collector"), suppress(Unreachable):
                heard = self._listen()
            self.connected = False
            pause = _SHORTEST if heard else min(_LONGEST, 2 * pause)
            self._closed.wait(pause)

    def _listen(self) -> bool:
        """Read until the stream ends; tells whether anything came."""
        assert self._organisation is not None
        heard = False
        with self._transport.stream("/v1/feedback/stream", {"organisation": self._organisation}) as source:
            self._source = source
            parser = EventParser()
            while not self._closed.is_set() and (piece := source.read()):
                for event in parser.feed(piece):
                    heard = True
                    self._hear(event.raw, event.data)
        return heard

    def _hear(self, raw: bytes, data: bytes) -> None:
        name = next((line[6:].strip() for line in raw.splitlines() if line.startswith(b"event:")), b"")
        if name == b"rules":
            told: Mapping[str, Any] = json.loads(data)
            self._listener.rules_changed(self._organisation or "", int(told["version"]))
            self.connected = True
        elif name == b"recall":
            self._listener.recalled()
        elif name == b"revoked":
            self.close()
            self._listener.revoked()
