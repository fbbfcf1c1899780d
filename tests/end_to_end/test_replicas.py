"""Collectors that share one PostgreSQL: each can be killed, and so can the server; nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from support.books import audit_log, integrity, read_books
from support.collector import RunningCollector, eventually, running_collector
from support.databases import keep_in
from support.numbered_spans import Senders, assert_charged_once, covered_by_receipts, numbered
from support.otlp import request_of
from support.ports import steady_port
from support.postgresql import PostgresqlServer, durable_server

SEED = 402
BATCHES = [[number + at for at in range(10)] for number in range(1, 301, 10)]


@contextmanager
def replica(folder: Path, name: str, server: PostgresqlServer, **settings: str) -> Iterator[RunningCollector]:
    """One of several collectors: a folder of its own, but the same database and the same keys."""
    keep_in(folder / name, server.url("books"))
    shared = {
        "P402_SIGNING_KEY_FILE": str(folder / "log.pem"),
        "P402_VAULT_KEY_FILE": str(folder / "vault.key"),
        "P402_SESSION_IDLE_SECONDS": "0",
    }
    with running_collector(folder / name, shared | settings) as collector:
        yield collector


def test_two_collectors_that_get_the_same_spans_charge_each_call_once_into_one_log(tmp_path: Path) -> None:
    with durable_server() as server:
        server.create("books")
        with replica(tmp_path, "one", server) as one, replica(tmp_path, "two", server) as two:

            def send(collector: RunningCollector, batches: list[list[int]]) -> None:
                for batch in batches:
                    assert collector.export(request_of([*map(numbered, batch)])).status_code == 200

            senders = [
                threading.Thread(target=send, args=(collector, batches))
                for collector in (one, two)
                for batches in (BATCHES, BATCHES[::-1])
            ]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            numbers = [number for batch in BATCHES for number in batch]
            books = read_books(one)
            assert_charged_once(books, numbers)
            assert read_books(two) == books
            eventually(lambda: covered_by_receipts(two) == len(numbers))
            audit_log(one)
            audit_log(two)


def test_an_outage_is_told_to_senders_and_what_they_send_again_is_charged_once(tmp_path: Path) -> None:
    first, second = request_of([*map(numbered, (1, 2, 3))]), request_of([*map(numbered, (4, 5, 6))])
    with durable_server() as server:
        server.create("books")
        with replica(tmp_path, "one", server) as collector:
            assert collector.export(first).status_code == 200
            server.stop_at_once()
            for _ in range(2):
                refused = collector.export(second)
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            server.start()
            eventually(lambda: collector.export(second).status_code == 200)
            assert collector.export(first).status_code == 200
            assert_charged_once(read_books(collector), range(1, 7))


def test_kills_of_the_server_and_of_collectors_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    print(f"seed {SEED}")  # noqa: T201 - shown when the test fails
    moments = random.Random(SEED)
    ports = {name: steady_port() for name in ("one", "two")}
    senders = {name: Senders(f"http://127.0.0.1:{port}/v1/traces") for name, port in ports.items()}
    senders["two"].numbers_from(1_000_001)

    with durable_server() as server:
        server.create("books")

        def run(name: str) -> AbstractContextManager[RunningCollector]:
            return replica(tmp_path, name, server, P402_LISTEN=f"127.0.0.1:{ports[name]}")

        with run("one") as one:
            for each in senders.values():
                each.start(clients=2)
            for _ in range(2):
                with run("two") as two:
                    senders["two"].wait_for(len(senders["two"].acknowledged) + moments.randint(1, 60))
                    server.stop_at_once()
                    server.start()
                    senders["one"].wait_for(len(senders["one"].acknowledged) + moments.randint(1, 60))
                    two.kill()
            with run("two"):
                for each in senders.values():
                    each.finish()
                numbers = [number for each in senders.values() for number in each.acknowledged]
                assert_charged_once(read_books(one), numbers)
                eventually(lambda: covered_by_receipts(one) == len(numbers))
                audit_log(one)
                assert integrity(one.data_dir) == "ok"
