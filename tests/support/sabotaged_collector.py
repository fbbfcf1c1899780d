"""A program to run instead of ``p402``: the real collector, with something done to it at a moment that a test names.

::

    sabotaged_collector.py die-before  "INSERT INTO charges|COMMIT" serve
    sabotaged_collector.py wait-before "INSERT INTO charges" serve
    sabotaged_collector.py without-sync serve

A moment is a list of events: when all of them came in this order, it is the moment before the last one happens. An
event is the beginning of an SQL statement, or ANSWER: an accepted batch is about to be acknowledged, or SEND and SENT.
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from aiohttp import web
from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from p402.collector import cli
from p402.collector.receiver.otlp_http import OtlpReceiver
from p402.collector.storage import sqlite

ANSWER = "ANSWER"
SEND, SENT = "SEND", "SENT"
"""A settlement's transaction is about to be handed to the chain's node, and was."""
WAITING, GO_ON = "waiting", "go-on"
"""Files in the data folder: the first says that the moment has come, the second ends the waiting."""


def sabotaged(*how: str) -> tuple[str, ...]:
    """Give the command of a sabotaged collector."""
    return (sys.executable, __file__, *how)


def _main() -> int:
    how, *arguments = sys.argv[1:]
    if how == "without-sync":
        _stop_syncing()
    else:
        act = {"die-before": _die, "wait-before": _wait}[how]
        _watch(arguments.pop(0).split("|"), act)
    return cli.main(arguments)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wait() -> None:
    folder = Path(os.environ["P402_DATA_DIR"])
    (folder / WAITING).touch()
    while not (folder / GO_ON).exists():
        time.sleep(0.01)


def _watch(moment: list[str], act: Callable[[], None]) -> None:
    def see(happening: str) -> None:
        if moment and happening.lstrip().startswith(moment[0]):
            moment.pop(0)
            if not moment:
                act()

    def watch_statements(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(see)  # called when a statement is about to run

    event.listen(Pool, "connect", watch_statements)
    _watch_psycopg(see)
    traces = OtlpReceiver.traces

    @functools.wraps(traces)
    async def watched_traces(receiver: OtlpReceiver, request: web.Request) -> web.Response:
        response = await traces(receiver, request)
        see(ANSWER)
        return response

    OtlpReceiver.traces = watched_traces  # type: ignore[method-assign,assignment] # that is the sabotage
    if {SEND, SENT} & set(moment):
        _watch_sends(see)


def _watch_sends(see: Callable[[str], None]) -> None:
    from p402.receipts.settlement._node import TempoNode  # noqa: PLC0415 - the chain's libraries take a second

    send = TempoNode.send

    async def watched(node: TempoNode, raw: bytes) -> str | None:
        see(SEND)
        complaint = await send(node, raw)
        see(SENT)
        return complaint

    TempoNode.send = watched  # type: ignore[method-assign,assignment] # that is the sabotage


def _watch_psycopg(see: Callable[[str], None]) -> None:
    execute = psycopg.Cursor.execute

    def watched(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        see(query.decode() if isinstance(query, bytes) else str(query))
        return execute(cursor, query, *arguments, **options)

    def watched_row_by_row(cursor: Any, query: Any, rows: Any) -> None:
        changed = 0
        for row in rows:
            changed += watched(cursor, query, row).rowcount
        cursor._rowcount = changed

    psycopg.Cursor.execute = watched  # type: ignore[method-assign,assignment]
    psycopg.Cursor.executemany = watched_row_by_row  # type: ignore[method-assign,assignment]


def _stop_syncing() -> None:
    open_engine = sqlite.open_engine

    def open_engine_without_sync(file: Path) -> Engine:
        engine = open_engine(file)
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        return engine

    sqlite.open_engine = open_engine_without_sync


if __name__ == "__main__":
    sys.exit(_main())
