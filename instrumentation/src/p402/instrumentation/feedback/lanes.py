"""Background threads: lanes that run jobs one after another, and a timer that puts jobs on lanes later.

A job may be handed over anywhere, also by a finalizer that runs inside of a lock: the queues are such as allow it
(`queue.SimpleQueue`). Threads are daemons and begin with the first job.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from p402.instrumentation.guard import guard

__all__ = ["Job", "Lane", "Timer"]

Job = Callable[[], object]


class Lane:
    """Runs jobs in the order in which they come, on up to so many threads."""

    def __init__(self, name: str, threads: int, at_end: Job) -> None:
        self._name = name
        self._most = threads
        self._at_end = at_end
        """Called by each thread before it ends."""
        self._started = 0
        self._queue: SimpleQueue[Job | None] = SimpleQueue()

    def put(self, job: Job) -> None:
        """Have a job run soon."""
        self._queue.put(job)
        self.start()

    def start(self) -> None:
        """Start another thread, up to as many as there may be."""
        if self._started < self._most:
            self._started += 1
            thread = threading.Thread(target=self._run, name=f"p402-{self._name}-{self._started}", daemon=True)
            with suppress(RuntimeError):  # the interpreter is about to exit
                thread.start()

    def close(self) -> None:
        """End the threads when all jobs are done."""
        for _ in range(self._started):
            self._queue.put(None)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            with guard(f"working on budgets ({self._name})"):
                job()
        self._at_end()


class Timer:
    """Calls functions later, on a thread of its own; they must only put jobs on lanes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._new: SimpleQueue[tuple[float, int, Job] | None] = SimpleQueue()
        self._started = False

    def after(self, seconds: float, job: Job) -> None:
        """Call a function in so many seconds."""
        self._new.put((self._clock() + seconds, next(self._numbers), job))
        if not self._started:
            self._started = True
            with suppress(RuntimeError):  # the interpreter is about to exit
                threading.Thread(target=self._run, name="p402-timer", daemon=True).start()

    def close(self) -> None:
        """Call nothing any more."""
        self._new.put(None)

    def _run(self) -> None:
        due: list[tuple[float, int, Job]] = []
        while True:
            seconds = max(0.0, due[0][0] - self._clock()) if due else None
            with suppress(Empty):
                new = self._new.get(timeout=seconds)
                if new is None:
                    return
                heapq.heappush(due, new)
            while due and due[0][0] <= self._clock():
                with guard("working on budgets (timer)"):
                    heapq.heappop(due)[2]()
