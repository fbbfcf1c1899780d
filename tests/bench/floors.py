"""What the libraries below us need for the same work, with nothing of ours in it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import genai_prices
import rfc8785
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import product

_COLUMNS = 25
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS spans (seq INTEGER PRIMARY KEY, key BLOB UNIQUE, call BLOB UNIQUE, "
    f"{', '.join(f'c{n}' for n in range(_COLUMNS))})"
)
_INSERT = f"INSERT INTO spans VALUES (NULL, ?, ?, {', '.join('?' * _COLUMNS)}) ON CONFLICT DO NOTHING"


def calc_price(times: int) -> Callable[[], None]:
    usage = genai_prices.Usage(input_tokens=2847, output_tokens=10_000)

    def run() -> None:
        for _ in range(times):
            genai_prices.calc_price(usage, "claude-opus-4-5", provider_id="anthropic")

    return run


def parse_only(body: bytes) -> None:
    ExportTraceServiceRequest.FromString(body)


def insert_batches(file: Path) -> Callable[[], float]:
    def measure() -> float:
        batches = [_rows(product.batch()) for _ in range(product.BATCHES)]
        database = _open(file)
        started = time.perf_counter()
        for rows in batches:
            _commit(database, [rows])
        elapsed = time.perf_counter() - started
        database.close()
        return elapsed / (product.BATCHES * product.BATCH) * 1e6

    return measure


@contextmanager
def _elsewhere(serve: Callable[..., None], *arguments: object) -> Iterator[str]:
    """Run a server in a process of its own; gives its address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(*arguments, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


async def _listen(app: web.Application, pipe: Connection) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pipe.send(runner.addresses[0][1])
    await asyncio.Event().wait()


def server(file: Path) -> AbstractContextManager[str]:
    """An HTTP server that parses, inserts, syncs and answers; in a process of its own."""
    return _elsewhere(_serve, file)


def _serve(file: Path, pipe: Connection) -> None:
    asyncio.run(_run_server(file, pipe))


async def _run_server(file: Path, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    waiting: queue.SimpleQueue[tuple[list[Any], asyncio.Future[None]]] = queue.SimpleQueue()

    def write_forever() -> None:
        database = _open(file)
        while True:
            group = [waiting.get()]
            while not waiting.empty():
                group.append(waiting.get())
            _commit(database, [rows for rows, _ in group])
            for _, done in group:
                loop.call_soon_threadsafe(done.set_result, None)

    async def take(request: web.Request) -> web.Response:
        rows = _rows(await request.read())
        done: asyncio.Future[None] = loop.create_future()
        waiting.put((rows, done))
        await done
        return web.Response(body=b"", content_type="application/x-protobuf")

    threading.Thread(target=write_forever, daemon=True).start()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/traces", take)
    await _listen(app, pipe)


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", _CREATE):
        database.execute(statement)
    return database


def _commit(database: sqlite3.Connection, groups: list[list[Any]]) -> None:
    database.execute("BEGIN IMMEDIATE")
    for rows in groups:
        database.executemany(_INSERT, rows)
    database.execute("COMMIT")


def _rows(body: bytes) -> list[Any]:
    """As many columns as a charge has; the two unique keys are as random as ours."""
    rows = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                key = span.trace_id + span.span_id
                rows.append((key, hashlib.sha256(key).digest()[:16], *range(_COLUMNS)))
    return rows


def canonical_receipts(times: int) -> Callable[[], None]:
    body = json.loads(product.seal().body)

    def run() -> None:
        for _ in range(times):
            hashlib.sha256(rfc8785.dumps(body)).digest()

    return run


def check_signatures(times: int) -> Callable[[], None]:
    key = Ed25519PrivateKey.generate()
    signature, public = key.sign(b"checkpoint"), key.public_key()

    def run() -> None:
        for _ in range(times):
            public.verify(signature, b"checkpoint")

    return run


def sink() -> AbstractContextManager[str]:
    """A collector without budgets that takes everything and does nothing; in a process of its own."""
    return _elsewhere(_swallow)


NO_BUDGETS = {
    "decision": {"verdict": "allow", "code": "no_budget", "rationale": "no_policy", "model": "-", "holds": {}},
    "lease": None,
    "rules": {
        "organisation": "acme",
        "version": 0,
        "levels": ["department"],
        "policy": {"name": "none"},
        "catalogue": [],
        "cards": [],
        "ceilings": {},
        "hard": False,
    },
    "card": None,
}
"""What a collector without budgets answers to the first question of a department."""


def _swallow(pipe: Connection) -> None:
    async def run() -> None:
        async def take(request: web.Request) -> web.Response:
            await request.read()
            return web.Response(body=b"", content_type="application/x-protobuf")

        async def lease(request: web.Request) -> web.Response:
            await request.read()
            return web.json_response(NO_BUDGETS)

        async def stream(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b'event: rules\ndata: {"version": 0}\n\n')
            await asyncio.Event().wait()  # until the client goes; nothing ever changes here
            return response

        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/leases", lease)
        app.router.add_get("/v1/feedback/stream", stream)
        app.router.add_post("/{signal:.*}", take)
        await _listen(app, pipe)

    asyncio.run(run())


def decisions(file: Path | None) -> AbstractContextManager[str]:
    """A server that answers a question: at once, or after it has put a row into a file; in a process of its own."""
    return _elsewhere(_answer, file)


def _answer(file: Path | None, pipe: Connection) -> None:
    asyncio.run(_run_answers(file, pipe))


async def _run_answers(file: Path | None, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    waiting: queue.SimpleQueue[tuple[str, asyncio.Future[None]]] = queue.SimpleQueue()
    answer = json.dumps({"id": "dec_" + "0" * 26, "verdict": "allow", "code": "within_budget"}).encode()

    def write_forever() -> None:
        assert file is not None
        database = sqlite3.connect(file, isolation_level=None)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE d (id INTEGER PRIMARY KEY, q)",
        ):
            database.execute(statement)
        while True:
            group = [waiting.get()]
            while not waiting.empty():
                group.append(waiting.get())
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO d (q) VALUES (?)", [(question,) for question, _ in group])
            database.execute("COMMIT")
            for _, done in group:
                loop.call_soon_threadsafe(done.set_result, None)

    async def decide(request: web.Request) -> web.Response:
        question = json.loads(await request.read())
        if file is not None:
            done: asyncio.Future[None] = loop.create_future()
            waiting.put((question["question"]["model"], done))
            await done
        return web.Response(body=answer, content_type="application/json")

    if file is not None:
        threading.Thread(target=write_forever, daemon=True).start()
    app = web.Application()
    app.router.add_post("/v1/decisions", decide)
    await _listen(app, pipe)


def anything() -> AbstractContextManager[str]:
    """A server that takes whatever is posted, and keeps nothing; in a process of its own."""
    return _elsewhere(_take_anything, None)


def _take_anything(_: Path | None, pipe: Connection) -> None:
    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/{path:.*}", take)
    asyncio.run(_listen(app, pipe))
