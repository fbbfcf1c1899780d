"""The product's own paths, ready to be timed."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from p402.collector.dialects import DIALECTS
from p402.collector.pipeline.attribute import attribute
from p402.collector.pipeline.normalise import normalise
from p402.collector.pipeline.price import charge
from p402.collector.pipeline.records import ModelCall, Recordable
from p402.collector.pricing import load_price_book
from p402.collector.receiver.otlp_decode import decode_traces
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.database import Database
from p402.collector.storage.employee_departments import EmployeeDepartments
from p402.collector.storage.ledger import SqlLedger
from p402.collector.storage.migrate import upgrade
from p402.collector.storage.owners import Owners
from p402.collector.storage.postings import Postings
from p402.collector.storage.sqlite import SqliteBackend
from p402.collector.storage.suppressions import Suppressions
from p402.receipts import (
    BundledReceipt,
    Checkpoint,
    ClosedBy,
    EntryPlace,
    SealedReceipt,
    Signer,
    Trust,
    format_proof,
    make_bundle,
    root,
    seal_receipt,
    sign_checkpoint,
    verify,
)
from p402.vocabulary import Attribution
from support.collector import PROTOBUF, running_collector
from support.open_books import vault_keys
from support.otlp import ASpan, request_of

BATCH = 512
BATCHES = 12
CONNECTIONS = 4
NOW = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)

_numbers = itertools.count(1)
_models = ["claude-opus-4-5", "claude-haiku-4-5", "claude-sonnet-4-5"]


def batch() -> bytes:
    """An export request of 512 spans of different sessions and models, with about 20 attributes each."""
    spans = []
    for number in range(BATCH):
        extra: dict[str, Any] = {
            "p402.employee": f"e-{number % 100}",
            "p402.session": f"s-{number % 64}",
            "p402.request": f"req_{next(_numbers)}",
            "gen_ai.request.model": _models[number % 3],
            "gen_ai.response.model": _models[number % 3],
            "gen_ai.response.id": f"msg_{next(_numbers)}",
            "gen_ai.usage.cache_read.input_tokens": 100,
            "gen_ai.request.stream": False,
            "server.address": "api.anthropic.com",
            "server.port": 443,
            "http.response.status_code": 200,
            "p402.usage.source": "provider",
            "p402.stream.end": "read",
            "p402.task_type": "contract_analysis",
        }
        ids = {"trace_id": random.randbytes(16), "span_id": random.randbytes(8)}
        spans.append(ASpan.of(extra, **ids))
    return request_of(spans)


def price_calls(times: int) -> Callable[[], None]:
    book = load_price_book()
    [call] = _calls(request_of([ASpan.of()]))

    def run() -> None:
        for _ in range(times):
            book.price(call.provider, "claude-opus-4-5", call.usage, NOW)

    return run


_book = load_price_book()


def read_batch(body: bytes) -> list[Recordable]:
    """Everything that happens to a batch before it is written."""
    return [charge(call, attribute(call.span, Attribution(), "acme"), _book, None, NOW) for call in _calls(body)]


def _calls(body: bytes) -> list[ModelCall]:
    read = (normalise(span, DIALECTS) for span in decode_traces(body).spans)
    return [call for call in read if isinstance(call, ModelCall)]


def record_batches(file: Path) -> Callable[[], float]:
    """Record batches one after the other through the writer thread; microseconds for a span."""
    upgrade(SqliteBackend(file))

    def measure() -> float:
        batches = [read_batch(batch()) for _ in range(BATCHES)]

        async def run() -> float:
            database = Database(SqliteBackend(file))
            database.start()
            ledger = SqlLedger(
                database, Postings(BudgetRules()), Owners(Suppressions(vault_keys(file.parent)), EmployeeDepartments())
            )
            started = time.perf_counter()
            await asyncio.gather(*(ledger.record(calls, [], NOW) for calls in batches))
            elapsed = time.perf_counter() - started
            await database.close()
            return elapsed

        return asyncio.run(run()) / (BATCHES * BATCH) * 1e6

    return measure


@contextmanager
def collector(folder: Path) -> Iterator[str]:
    with running_collector(folder, {"P402_SESSION_IDLE_SECONDS": "3600"}) as running:
        yield running.url


def export_batches(url: str) -> Callable[[], float]:
    """Send batches over a few connections; microseconds for a span from the first request to the last answer."""

    def measure() -> float:
        bodies = [batch() for _ in range(BATCHES * 2)]

        async def sender(session: aiohttp.ClientSession, mine: list[bytes]) -> None:
            for body in mine:
                async with session.post("/v1/traces", data=body, headers=PROTOBUF) as response:
                    assert response.status == 200, await response.text()

        async def run() -> float:
            async with aiohttp.ClientSession(url) as session:
                started = time.perf_counter()
                await asyncio.gather(*(sender(session, bodies[start::CONNECTIONS]) for start in range(CONNECTIONS)))
                return time.perf_counter() - started

        return asyncio.run(run()) / (len(bodies) * BATCH) * 1e6

    return measure


def seal(count: int = 10) -> SealedReceipt:
    """One receipt over some charges of one session."""
    owner = {"p402.session": "s-1", "p402.employee": "e-1"}
    body = request_of([ASpan.of({**owner, "gen_ai.request.model": _models[n % 3]}) for n in range(count)])
    charges = [recordable.charge for recordable in read_batch(body)]
    return _seal(charges)


def _seal(charges: list[Any]) -> SealedReceipt:
    return seal_receipt(
        charges,
        EntryPlace(organisation="acme", seq=0, prev=bytes(32), issued_at=NOW),
        receipt_id="rcpt_1",
        closed_by=ClosedBy.API,
        content_mode="metadata",
        verified_through=None,
    )


def seal_receipts(times: int) -> Callable[[], None]:
    owner = {"p402.session": "s-1", "p402.employee": "e-1"}
    body = request_of([ASpan.of({**owner, "gen_ai.request.model": _models[n % 3]}) for n in range(10)])
    charges = [recordable.charge for recordable in read_batch(body)]

    def run() -> None:
        for _ in range(times):
            _seal(charges)

    return run


def verify_bundles(times: int) -> Callable[[], None]:
    receipt = seal()
    signer = Signer.generate("bench/org/acme")
    note = sign_checkpoint(Checkpoint(signer.origin, 1, root(1, lambda *_: receipt.leaf_hash)), [signer])
    item = BundledReceipt(
        body=receipt.body, disclosures=receipt.disclosures, proof=format_proof(0, [], note), anchor=None
    )
    data = json.dumps(make_bundle([item], [])).encode()
    trust = Trust(verifier_keys=(signer.verifier_key,))

    def run() -> None:
        for _ in range(times):
            report = verify(data, trust)
            assert not any(check.status.value == "failed" for check in report.checks)

    return run
