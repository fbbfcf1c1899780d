"""Spans that are told apart by a number, what they cost, and clients that send them until they are acknowledged."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx

from p402.vocabulary import Money
from support.books import Books, receipts_of
from support.collector import PROTOBUF, RunningCollector
from support.otlp import ASpan, request_of


def numbered(number: int, **extra: object) -> ASpan:
    """A span of claude-opus-4-5 with `number` tokens in and 100 out, in one of three sessions; see `price_of`."""
    return ASpan.of(
        {
            "gen_ai.usage.input_tokens": number,
            "gen_ai.usage.output_tokens": 100,
            "p402.department": f"department-{number % 2}",
            "p402.session": f"session-{number % 3}",
            **extra,
        },
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
    )


def price_of(numbers: Sequence[int]) -> Money:
    """$5 and $25 a million tokens: 5,000 nano-USD for each token in, 2,500,000 for the 100 out."""
    return Money(sum(5_000 * number + 2_500_000 for number in numbers))


def assert_charged_once(books: Books, numbers: Sequence[int]) -> None:
    assert sorted(books.span_ids) == [f"{number:016x}" for number in sorted(numbers)]
    assert books.cost == price_of(numbers)


def covered_by_receipts(collector: RunningCollector) -> int:
    return sum(receipt["body"]["charges"]["count"] for receipt in receipts_of(collector))


@dataclass
class Senders:
    """Clients that send numbered spans until they are told to finish, each batch again until it is acknowledged."""

    url: str
    acknowledged: list[int] = field(default_factory=list)
    repeated: int = 0
    """Batches that were sent once more."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _finish: threading.Event = field(default_factory=threading.Event)
    _progress: threading.Condition = field(default_factory=threading.Condition)
    _threads: list[threading.Thread] = field(default_factory=list)

    def numbers_from(self, first: int) -> None:
        """Number the spans from here on."""
        self._numbers = itertools.count(first)

    def start(self, clients: int) -> None:
        self._threads += [threading.Thread(target=self._send, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, spans: int) -> None:
        """Return as soon as so many spans are acknowledged."""
        with self._progress:
            assert self._progress.wait_for(lambda: len(self.acknowledged) >= spans, timeout=60)

    def finish(self) -> None:
        """Begin no new batch, and return when the last one is acknowledged."""
        self._finish.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with httpx.Client(headers=PROTOBUF, timeout=30) as client:
            while not self._finish.is_set():
                with self._progress:
                    batch = [next(self._numbers) for _ in range(5)]
                attempts = self._attempts(client, request_of([*map(numbered, batch)]))
                with self._progress:
                    self.acknowledged += batch
                    self.repeated += attempts > 1
                    self._progress.notify_all()

    def _attempts(self, client: httpx.Client, body: bytes) -> int:
        for attempt in range(1, 601):
            with suppress(httpx.TransportError):
                if client.post(self.url, content=body).status_code == 200:
                    return attempt
            time.sleep(0.1)  # a client's pause between two attempts
        raise AssertionError("a batch was not acknowledged within a minute")
