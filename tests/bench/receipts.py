"""``make bench-receipts``: what sealing, proving, verifying and setting receipts costs, each beside its floor.

A floor hashes, signs, encodes or stores the same bytes with the standard library and ``cryptography``, with nothing of ours.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import pdf, product
from bench.run import Figure, rounds, show, timed
from p402.collector.storage.log import LogWriter, latest_checkpoint, proof_hashes, proofs_hashes
from p402.collector.storage.migrate import upgrade
from p402.collector.storage.sqlite import SqliteBackend
from p402.receipts import (
    BundledReceipt,
    EntryPlace,
    Status,
    Trust,
    canonical,
    commit,
    format_proof,
    heartbeat_entry,
    leaf_hash,
    make_bundle,
    sign_checkpoint,
    verify,
)
from support.keys_at_hand import OneKey
from support.open_books import open_books
from support.otlp import ASpan
from support.sample_log import NINE, SampleLog, fixed_signer, sample_log

SESSIONS = 320
LOG = 10_000

Measure = Callable[[], float]


# --- sealing


def body_and_commitments() -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """What a receipt over ten charges says, and three things that it commits to."""
    said: dict[str, Any] = json.loads(product.seal().body)
    return said, [("employee", "emp_7", "s" * 22), ("session_id", "sess_42", "t" * 22), ("reviewer", "emp_9", "u" * 22)]


def canonicalise_hash_commit(times: int) -> Callable[[], None]:
    said, personal = body_and_commitments()

    def run() -> None:
        for _ in range(times):
            digests = sorted(commit(name, value, salt).digest for name, value, salt in personal)
            leaf_hash(canonical({**said, "_sd": digests}))

    return run


def json_and_sha256(times: int) -> Callable[[], None]:
    said, personal = body_and_commitments()

    def run() -> None:
        for _ in range(times):
            digests = []
            for name, value, salt in personal:
                text = base64.urlsafe_b64encode(json.dumps([salt, name, value]).encode())
                digests.append(base64.urlsafe_b64encode(hashlib.sha256(text).digest()).decode())
            said["_sd"] = digests
            hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).digest()

    return run


def seal_sessions(folder: Path) -> Measure:
    """Seal sessions of one call each, from recorded charges to signed checkpoints on disk."""
    rounds_before = iter(range(1_000))

    async def run(number: int) -> float:
        async with open_books(folder / "sealing") as books:
            spans = [ASpan.of({"p402.session": f"s-{number}-{session}"}) for session in range(SESSIONS)]
            await books.send(*spans)
            await books.sealer.catch_up()
            books.clock.advance(hours=1)
            sealed, started = 0, time.perf_counter()
            while receipts := await books.sealer.catch_up():
                sealed += len(receipts)
            assert sealed == SESSIONS
            return (time.perf_counter() - started) / SESSIONS * 1e6

    return lambda: asyncio.run(run(next(rounds_before)))


def insert_rows(folder: Path) -> Measure:
    """Insert as many rows of as many bytes, with a synced commit after 32 receipts, and sign once for each commit."""
    body = product.seal(1).body
    key = Ed25519PrivateKey.generate()
    numbers = iter(range(10**9))

    def measure() -> float:
        with closing(sqlite3.connect(folder / "floor.sqlite3", isolation_level=None)) as sql:
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                sql.execute(f"PRAGMA {pragma}")
            for table in ("entries", "nodes", "receipts", "vault", "events", "checkpoints"):
                sql.execute(f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, value BLOB)")
            started = time.perf_counter()
            for _ in range(SESSIONS // 32):
                sql.execute("BEGIN IMMEDIATE")
                for table, size, times in (
                    ("entries", len(body), 1),
                    ("nodes", 32, 2),
                    ("receipts", 80, 1),
                    ("vault", 150, 2),
                    ("events", 300, 1),
                ):
                    rows = [(next(numbers), body[:size].ljust(size)) for _ in range(32 * times)]
                    sql.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
                sql.execute("INSERT INTO checkpoints VALUES (?, ?)", (next(numbers), key.sign(b"a checkpoint")))
                sql.execute("COMMIT")
            return (time.perf_counter() - started) / SESSIONS * 1e6

    return measure


# --- proving


def stored_log(folder: Path) -> SqliteBackend:
    """A database with a log of heartbeats."""
    backend = SqliteBackend(folder / "log.sqlite3")
    upgrade(backend)
    with backend.engine.connect() as connection:
        backend.begin_change(connection)
        log = LogWriter(connection, "acme", OneKey(fixed_signer()), NINE)
        for _ in range(LOG):
            log.append("heartbeat", _heartbeat)
        log.sign()
        backend.commit(connection, ())
    return backend


def _heartbeat(seq: int, prev: bytes) -> Any:
    return heartbeat_entry(EntryPlace(organisation="acme", seq=seq, prev=prev, issued_at=NINE))


def append_entries(folder: Path) -> Measure:
    """Append entries within one change, with its checkpoint, without the commit."""
    backend = stored_log(folder)

    def measure() -> float:
        with backend.engine.connect() as connection:
            backend.begin_change(connection)
            started = time.perf_counter()
            log = LogWriter(connection, "acme", OneKey(fixed_signer()), NINE)
            for _ in range(1_000):
                log.append("heartbeat", _heartbeat)
            log.sign()
            taken = time.perf_counter() - started
            connection.exec_driver_sql("ROLLBACK")
        return taken / 1_000 * 1e6

    return measure


def hash_and_insert(folder: Path) -> Measure:
    """Hash as many leaves and nodes, and insert them and the bodies."""
    body = heartbeat_entry(EntryPlace(organisation="acme", seq=1, prev=b"\1" * 32, issued_at=NINE)).body

    def measure() -> float:
        with closing(sqlite3.connect(folder / "nodes.sqlite3", isolation_level=None)) as sql:
            for table in ("entries", "nodes"):
                columns = "organisation TEXT, level INTEGER, position INTEGER, value BLOB, PRIMARY KEY (organisation, level, position)"
                sql.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
            sql.execute("BEGIN")
            started = time.perf_counter()
            for number in range(1_000):
                leaf = hashlib.sha256(body).digest()
                node = hashlib.sha256(leaf + leaf).digest()
                sql.execute("INSERT INTO entries VALUES ('acme', 0, ?, ?)", (number, body))
                sql.executemany("INSERT INTO nodes VALUES ('acme', ?, ?, ?)", [(0, number, leaf), (1, number, node)])
            taken = time.perf_counter() - started
            sql.execute("ROLLBACK")
        return taken / 1_000 * 1e6

    return measure


def prove_one_by_one(backend: SqliteBackend, times: int) -> Callable[[], None]:
    choose = random.Random(1)

    def run() -> None:
        with backend.engine.connect() as connection:
            for _ in range(times):
                proof_hashes(connection, "acme", choose.randrange(LOG), LOG)

    return run


def prove_together(backend: SqliteBackend, times: int) -> Callable[[], None]:
    def run() -> None:
        with backend.engine.connect() as connection:
            note = latest_checkpoint(connection, "acme")
            assert note is not None
            for seq, hashes in enumerate(proofs_hashes(connection, "acme", range(times), LOG)):
                format_proof(seq, hashes, note)

    return run


def read_nodes(file: Path, times: int) -> Callable[[], None]:
    """Read the fourteen nodes of a proof by their key."""
    choose = random.Random(1)

    def run() -> None:
        with closing(sqlite3.connect(file)) as sql:
            for _ in range(times):
                seq = choose.randrange(LOG // 2)
                for level in range(14):
                    sql.execute(
                        "SELECT hash FROM log_nodes WHERE organisation = 'acme' AND level = ? AND position = ?",
                        (level, (seq >> level) ^ 1),
                    ).fetchone()

    return run


# --- verifying


def bundle_of(log: SampleLog) -> bytes:
    note = sign_checkpoint(log.checkpoint(), [fixed_signer()])
    items = [
        BundledReceipt(
            body=entry.body,
            disclosures=getattr(entry, "disclosures", ()),
            proof=log.proof_under(entry.seq, note),
            anchor=None,
        )
        for entry in log.entries
    ]
    return json.dumps(make_bundle(items, [], whole=(0, len(items) - 1)), indent=1).encode()


def verify_bundle(data: bytes) -> Callable[[], None]:
    trust = Trust((fixed_signer().verifier_key,), complete=True)

    def run() -> None:
        report = verify(data, trust)
        assert not any(check.status is Status.FAILED for check in report.checks)

    return run


def parse_and_hash(data: bytes) -> Callable[[], None]:
    """Parse the file and every body in it, and hash each body, its two disclosures and fourteen nodes."""

    def run() -> None:
        for receipt in json.loads(data)["receipts"]:
            json.loads(receipt["body"])
            hashed = hashlib.sha256(receipt["body"].encode()).digest()
            for disclosure in receipt["disclosures"]:
                hashlib.sha256(disclosure.encode()).digest()
            for _ in range(14):
                hashed = hashlib.sha256(hashed + hashed).digest()

    return run


def sign_checkpoints(times: int) -> Callable[[], None]:
    log, signer = sample_log(5), fixed_signer()
    checkpoint = log.checkpoint()

    def run() -> None:
        for _ in range(times):
            sign_checkpoint(checkpoint, [signer])

    return run


def sign_bytes(times: int) -> Callable[[], None]:
    key, text = Ed25519PrivateKey.generate(), str(sample_log(5).checkpoint()).encode()

    def run() -> None:
        for _ in range(times):
            key.sign(text)

    return run


def figures(folder: Path) -> Iterator[Figure]:
    """Measure everything."""
    yield Figure(
        "canonicalise, hash, 3 commitments",
        rounds(timed(canonicalise_hash_commit(500), 500)),
        rounds(timed(json_and_sha256(500), 500)),
        "json.dumps + SHA-256 of the same",
    )
    yield Figure(
        "seal a receipt over 10 charges",
        rounds(timed(product.seal_receipts(200), 200)),
        rounds(timed(json_and_sha256(500), 500)),
        "json.dumps + SHA-256 of the body",
    )
    yield Figure(
        "seal a session through the store",
        rounds(seal_sessions(folder)),
        rounds(insert_rows(folder)),
        "sqlite3: the same rows, as many syncs",
    )
    yield Figure(
        "append an entry in a change",
        rounds(append_entries(folder)),
        rounds(hash_and_insert(folder)),
        "SHA-256 + sqlite3 of the same",
    )
    backend = SqliteBackend(folder / "log.sqlite3")
    yield Figure(
        f"prove one entry of {LOG:,}",
        rounds(timed(prove_one_by_one(backend, 200), 200)),
        rounds(timed(read_nodes(folder / "log.sqlite3", 200), 200)),
        "sqlite3: 14 rows by their key",
    )
    yield Figure(
        "prove 1,000 entries together",
        rounds(timed(prove_together(backend, 1_000), 1_000)),
        rounds(timed(read_nodes(folder / "log.sqlite3", 200), 200)),
        "sqlite3: 14 rows by their key",
    )
    yield Figure(
        "sign a checkpoint",
        rounds(timed(sign_checkpoints(200), 200)),
        rounds(timed(sign_bytes(200), 200)),
        "Ed25519 of the same bytes",
    )
    data = bundle_of(sample_log(LOG))
    yield Figure(
        f"verify a receipt in a bundle of {LOG:,}",
        rounds(timed(verify_bundle(data), LOG)),
        rounds(timed(parse_and_hash(data), LOG)),
        "json.loads + SHA-256 of the same",
    )
    yield from pdf.figures()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        show(figures(Path(folder)))
