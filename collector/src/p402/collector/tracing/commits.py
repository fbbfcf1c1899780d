"""What requests and work wait for in the database: ``read`` and ``commit``, which ends when the change is on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

from opentelemetry.trace import Tracer, get_current_span
from sqlalchemy import Connection

from p402.collector.storage.backend import Backend
from p402.collector.storage.database import Database
from p402.collector.tracing.spans import child

__all__ = ["TracedDatabase"]

T = TypeVar("T")


class TracedDatabase(Database):
    """The database, with a span around what a traced request or piece of work asks of it, and around nothing else."""

    def __init__(self, backend: Backend, tracer: Tracer) -> None:
        super().__init__(backend)
        self._tracer = tracer
        self._changes_together = 0  # in the writer's thread

    async def read(self, query: Callable[[Connection], T], *, long: bool = False) -> T:
        """Run a query, see `Database.read`; the span has the time that it waited for a reader too."""
        if not get_current_span().is_recording():
            return await super().read(query, long=long)
        with child(self._tracer, "read") as span:
            _name(span.set_attribute, query)
            return await super().read(query, long=long)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run a change, see `Database.write`; the span tells how long it waited for its turn, and who shared the commit."""
        if not get_current_span().is_recording():
            return await super().write(change)
        with child(self._tracer, "commit") as span:
            _name(span.set_attribute, change)
            handed_over = time.perf_counter()
            context = copy_context()  # log lines of a change are lines of its span

            def timed(connection: Connection) -> T:
                if span.is_recording():  # else its caller gave up
                    span.set_attribute("p402.commit.wait_seconds", time.perf_counter() - handed_over)
                    span.set_attribute("p402.commit.changes", self._changes_together)
                return context.run(change, connection)

            return await super().write(timed)

    def _commit_together(self, connection: Connection, group: Sequence[Any]) -> None:
        self._changes_together = len(group)
        super()._commit_together(connection, group)


def _name(tell: Callable[[str, str], object], function: Callable[[Connection], object]) -> None:
    """Tell which function it is, by the name that it has in our code."""
    name = getattr(function, "__qualname__", None)
    if name is not None:
        tell("code.function.name", f"{function.__module__}.{name}")
