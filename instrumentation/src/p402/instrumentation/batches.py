"""Results of batches: each answer in a file of results becomes a span, while the application downloads the file.

A file may have a hundred thousand answers, so the bytes that go by are only put on a queue; a thread of ours reads them,
as fast as the delivery takes the spans. They go to the collector only: the host's own tracing knows nothing of these
calls. Who downloads a file again, or in another process, is not charged again: an answer has the same span each time.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from queue import SimpleQueue

from opentelemetry.trace import INVALID_SPAN, Span

from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.guard import guard
from p402.instrumentation.lines import LineParser
from p402.instrumentation.providers import Answer, RequestFacts
from p402.instrumentation.providers.results import Result, Source
from p402.instrumentation.sse import Event
from p402.instrumentation.used import usage_attributes
from p402.vocabulary import UsageSource, attributes, new_id

__all__ = ["Downloads", "ResultsDownload", "StartSpan"]

StartSpan = Callable[[str, str, Mapping[str, "str | int | bool"]], Span]
"""Starts the span of an answer (that is the same whenever it is told again), with a name and attributes."""

_logger = logging.getLogger("p402.instrumentation")
_NO_FACTS = RequestFacts(operation="chat", model="", countable=False)
_MOST_BYTES = 64 * 1024 * 1024
_SECONDS_FOR_ROOM = 30.0
_EXIT_SECONDS = 10.0
_SHORTEST_ID = 16
"""Shorter ids are unique within their trace only, for the collector."""
_OPERATIONS = {"list": "embeddings", "text_completion": "text_completion"}


class ResultsDownload(Call):
    """A download of results. It is read like the answer to a call, but has no span of its own."""

    def __init__(self, downloads: Downloads, source: Source, name: str, known: Mapping[str, str | int | bool]) -> None:
        super().__init__(INVALID_SPAN, source.dialect, _NO_FACTS, b"")
        self.framing = lambda: _Handover(self)
        self.source = source
        self.name = name
        self.known = known
        """Attributes of every span: the provider, and whom the download is for."""
        self.rest = bytearray()
        self.given_up = False
        """Whether it is something else, or more than can be kept."""
        self._downloads = downloads
        self._begun = False

    def piece(self, data: bytes) -> None:
        """Take the next bytes of the body; what does not begin as JSON is left alone."""
        if not self._begun and (start := data.lstrip()):
            self._begun = True
            self.given_up = not start.startswith(b"{")
        if not self.given_up:
            self._downloads.put(self, data)

    def event(self, data: bytes) -> bool:
        """Ignore it: pieces are handed over instead."""
        del data
        return False

    def _conclude(self, end: StreamEnd, error: BaseException | None) -> None:
        del error
        if self._begun and not self.given_up:
            self._downloads.put(self, b"\n" if end is StreamEnd.READ else b"", last=True)


class _Handover(LineParser):
    """Hands a body's pieces over, instead of making lines of them here."""

    def __init__(self, download: ResultsDownload) -> None:
        super().__init__()
        self._download = download

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes."""
        self._download.piece(data)
        return []


class Downloads:
    """Reads what is downloaded, on one thread, which exists only when there is something to read."""

    def __init__(self, start_span: StartSpan, has_room: Callable[[], bool]) -> None:
        """Take what starts spans, and what tells whether the delivery has room for one more."""
        self._start_span = start_span
        self._has_room = has_room
        self._begin()
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (again := begin()) and again())

    def _begin(self) -> None:
        """Begin afresh, also in the child of a fork: the parent reads its own."""
        self._queue: SimpleQueue[tuple[ResultsDownload, bytes, bool] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._reported = False

    def put(self, download: ResultsDownload, data: bytes, *, last: bool = False) -> None:
        """Queue a piece; if too much is waiting already, the download is given up."""
        with self._lock:
            if self._waiting and self._waiting + len(data) > _MOST_BYTES:
                download.given_up = True
                self._report()
                return
            self._waiting += len(data)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="p402-results", daemon=True)
                with suppress(RuntimeError):  # the interpreter is about to exit
                    thread.start()
                    self._thread = thread
                    atexit.register(self.shutdown)  # before that of the delivery, which was registered earlier
        self._queue.put((download, data, last))

    def shutdown(self) -> None:
        """Read what is waiting, for ten seconds at most."""
        thread, self._thread = self._thread, None
        if thread is not None:
            atexit.unregister(self.shutdown)
            self._queue.put(None)
            thread.join(_EXIT_SECONDS)
            if thread.is_alive():
                self._report()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            download, data, last = item
            with guard("reading results"):
                if not download.given_up:
                    self._read(download, data, last=last)
            with self._lock:
                self._waiting -= len(data)

    def _read(self, download: ResultsDownload, data: bytes, *, last: bool) -> None:
        start = 0
        while download.source.lines and (end := data.find(b"\n", start)) >= 0 and not download.given_up:
            line = bytes(download.rest) + data[start:end]
            download.rest.clear()
            start = end + 1
            with guard("reading a line of results"):
                self._document(download, line)
        download.rest += data[start:]
        if len(download.rest) > _MOST_BYTES:
            download.given_up = True
            download.rest.clear()
        elif last and not download.source.lines:
            self._document(download, bytes(download.rest))

    def _document(self, download: ResultsDownload, text: bytes) -> None:
        if not text.strip():
            return
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        results = download.source.read(document, download.name) if isinstance(document, dict) else None
        if results is None:
            download.given_up = True
            return
        for result in results:
            with guard("reading a result"):
                self._meter(download, result)

    def _meter(self, download: ResultsDownload, result: Result) -> None:
        answer = Answer()
        download.source.dialect.read(result.body, answer)
        if answer.usage is None:
            return
        identity = answer.id or ""
        operation = _OPERATIONS.get(str(result.body.get("object")), "chat")
        if "candidates" in result.body:
            operation = "generate_content"
        known = {
            attributes.GEN_AI_OPERATION_NAME: operation,
            attributes.GEN_AI_REQUEST_MODEL: answer.model,
            attributes.GEN_AI_RESPONSE_MODEL: answer.model,
            attributes.GEN_AI_RESPONSE_ID: identity if len(identity) >= _SHORTEST_ID else result.id or identity,
            attributes.P402_REQUEST: new_id("req", datetime.now(UTC)),
            attributes.P402_SERVICE_TIER: download.source.service_tier or answer.service_tier,
            attributes.P402_CONTENT_MODE: "metadata",
            attributes.P402_USAGE_SOURCE: UsageSource.PROVIDER.value,
            **usage_attributes(answer.usage),
        }
        self._wait_for_room()
        span = self._start_span(
            f"{download.known[attributes.GEN_AI_PROVIDER_NAME]} {known[attributes.GEN_AI_RESPONSE_ID]}",
            f"{operation} {answer.model}",
            {**download.known, **{name: value for name, value in known.items() if value is not None}},
        )
        if answer.finish_reasons:
            span.set_attribute(attributes.GEN_AI_RESPONSE_FINISH_REASONS, answer.finish_reasons)
        span.end()

    def _wait_for_room(self) -> None:
        deadline = time.monotonic() + _SECONDS_FOR_ROOM
        while not self._has_room() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _report(self) -> None:
        if not self._reported:
            self._reported = True
            _logger.warning(
                "P402 Meter could not read all results of a batch in time; some of its calls are not metered. Download "
                "the results again to meter the rest: each is charged once."
            )
