"""Carries spans to the collector: a bounded queue, a thread that sends batches, and a count of what never got there.

The host never waits for the collector. What cannot be delivered is lost, counted, and said in one line a minute at most
and at the exit.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from p402.instrumentation.guard import guard

__all__ = ["Delivery", "Limits"]

_logger = logging.getLogger("p402.instrumentation")
_REPORT_SECONDS = 60.0
_EXIT_SECONDS = 3.0
_LONGEST_AWAY = 120.0
"""Seconds for which what the collector did not take is tried again: longer than a restart, shorter than an evening."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is held back, and how long; in numbers of spans, and seconds."""

    queue: int = 2048
    batch: int = 512
    delay: float = 5.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Limits:
        """Read OpenTelemetry's own settings of its batch processor; what cannot be used counts as not set."""
        return cls(
            queue=_number(environment, "OTEL_BSP_MAX_QUEUE_SIZE") or cls().queue,
            batch=_number(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or cls().batch,
            delay=_number(environment, "OTEL_BSP_SCHEDULE_DELAY") / 1000 or cls().delay,
        )


class Delivery:
    """The way of one process's spans to one collector. Neither thread nor exporter exists before the first span."""

    def __init__(
        self,
        make_exporter: Callable[[], SpanExporter],
        destination: str,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_exporter = make_exporter
        self._destination = destination
        self._limits = limits
        self._clock = clock
        self._queue: deque[ReadableSpan] = deque()
        self._thread: threading.Thread | None = None
        self._exporter: SpanExporter | None = None
        self._reported_at: float | None = None
        self._begin()
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (again := begin()) and again())

    def _begin(self) -> None:
        """Begin afresh, also in the child of a fork: the parent sends what it has queued."""
        self._queue.clear()
        self._lock = threading.RLock()  # a finalizer may end a span while this thread is in here
        self._sending = threading.Lock()
        self._wake = threading.Event()
        self._thread = self._exporter = self._reported_at = None
        self._closed = False
        self._in_flight = 0
        self._failing_since: float | None = None
        self._turned_away = 0
        self._refused = 0
        self._reported = 0

    def put(self, span: ReadableSpan) -> None:
        """Take a span over, or count it as lost if there is no room for it."""
        with self._lock:
            if self._closed or len(self._queue) >= self._limits.queue:
                self._turned_away += 1
                return
            self._queue.append(span)
            if self._thread is None:
                self._end_with_child()
                thread = threading.Thread(target=self._run, name="p402-delivery", daemon=True)
                with suppress(RuntimeError):  # the interpreter is about to exit; then `shutdown` sends
                    thread.start()
                    self._thread = thread
            if len(self._queue) >= self._limits.batch and self._failing_since is None:
                self._wake.set()

    def has_room(self) -> bool:
        """Tell whether one more span would fit into the queue now."""
        return len(self._queue) < self._limits.queue

    def flush(self) -> None:
        """Send what is queued, now and on this thread; what comes meanwhile waits, or each would be sent by itself."""
        with self._sending:
            left = len(self._queue)
            while left > 0 and (batch := self._next_batch()):
                left -= len(batch)
                delivered = False
                with guard("sending spans"), suppress_instrumentation(), _Quiet():
                    delivered = self._connected().export(batch) is SpanExportResult.SUCCESS
                if not self._took(batch, delivered=delivered):
                    return

    def _took(self, batch: list[ReadableSpan], *, delivered: bool) -> bool:
        """Note what became of a batch: what was not taken waits in front of the others; tells whether to go on."""
        with self._lock:
            self._in_flight = 0
            if delivered:
                self._failing_since = None
                return True
            if self._failing_since is None:
                self._failing_since = self._clock()
            if self._closed or self._clock() - self._failing_since > _LONGEST_AWAY:
                self._refused += len(batch)
                return True
            self._queue.extendleft(reversed(batch))
            return False

    def shutdown(self) -> None:
        """Send what is queued, for three seconds at most, and say what was lost; only the first call does anything."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
        self._wake.set()
        if thread is None:
            self.flush()
        else:
            thread.join(_EXIT_SECONDS)
        with self._lock:  # what is still here will not be sent
            self._refused += len(self._queue) + self._in_flight
            self._queue.clear()
        if self._exporter is not None:
            with guard("shutting down an exporter"), _Quiet():
                self._exporter.shutdown()
        self._report()

    def _end_with_child(self) -> None:
        """In a child that multiprocessing forked, end with it: such children run no `atexit` functions."""
        util, process = (sys.modules.get(f"multiprocessing.{name}") for name in ("util", "process"))
        if util is not None and process is not None and process.parent_process() is not None:
            util.Finalize(self, self.shutdown, exitpriority=0)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._limits.delay)
            self._wake.clear()
            self.flush()
            if self._reported_at is None or self._clock() - self._reported_at >= _REPORT_SECONDS:
                self._report()
        self.flush()

    def _next_batch(self) -> list[ReadableSpan]:
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(self._limits.batch, len(self._queue)))]
            self._in_flight = len(batch)
        return batch

    def _connected(self) -> SpanExporter:
        if self._exporter is None:
            self._exporter = self._make_exporter()
        return self._exporter

    def _report(self) -> None:
        with self._lock:
            waiting = 0 if self._failing_since is None else len(self._queue)
            missing = self._turned_away + self._refused + waiting
            before, self._reported = self._reported, missing
            if missing <= before:
                return
            self._reported_at = self._clock()
        _logger.warning(
            "P402 Meter could not deliver %d spans to %s since the start (%d did not fit into the queue, %d were not "
            "taken by the collector, %d wait to be tried again). The application is not affected, but these calls may be "
            "missing from the metering: is the collector running, and is P402_API_KEY right?",
            missing,
            self._destination,
            self._turned_away,
            self._refused,
            waiting,
        )


class _Quiet:
    """Keeps the exporter's own log lines, one or more for each attempt, from the host's log while *we* export."""

    _threads = threading.local()

    def __enter__(self) -> None:
        self._threads.quiet = True

    def __exit__(self, *_: object) -> None:
        self._threads.quiet = False

    @classmethod
    def allows(cls, _: logging.LogRecord) -> bool:
        """Let lines of other threads pass, such as those of the host's own exporter."""
        return not getattr(cls._threads, "quiet", False)


logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").addFilter(_Quiet.allows)


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "").strip()
    return int(value) if value.isdecimal() else 0
