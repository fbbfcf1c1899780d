"""Nothing is lost, nothing is doubled: the collector is killed with SIGKILL at chosen moments and at random ones."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from p402.receipts import Signer
from p402.vocabulary import Money
from support.books import Books, audit_log, integrity, read_books, receipts_of
from support.collector import PROTOBUF, RunningCollector, eventually, running_collector
from support.otlp import ASpan, request_of
from support.ports import steady_port
from support.sabotaged_collector import ANSWER, sabotaged

SEED = 402
KILLS = 5

ROW, COUNTER, COMMIT = "INSERT INTO charges", "INSERT INTO spend_hourly", "COMMIT"
RECEIPT = "INSERT INTO receipts"


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


# The first batch has all that can become of a span: charged, a second span of a charged call, a call without usage.
FIRST = request_of(
    [
        *map(numbered, (1, 2, 3)),
        ASpan.of(
            {"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 100},
            trace_id=(3).to_bytes(16, "big"),
            span_id=b"\xaa" * 8,
            parent_span_id=(3).to_bytes(8, "big"),
            scope="opentelemetry.instrumentation.anthropic",
        ),
        ASpan.of({"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}, span_id=b"\xbb" * 8),
    ]
)
SECOND = request_of([*map(numbered, (4, 5, 6))])
AFTER_THE_FIRST = (ROW, COMMIT)


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        pytest.param((ROW, ROW), False, id="between two charges"),
        pytest.param((ROW, COUNTER), False, id="between charges and counters"),
        pytest.param((ROW, COMMIT), False, id="before the commit"),
        pytest.param((ROW, COMMIT, ANSWER), True, id="after the commit, before the answer"),
    ],
)
def test_a_batch_cut_off_by_a_kill_is_kept_whole_or_not_at_all_and_charged_once_when_sent_again(
    tmp_path: Path, moment: tuple[str, ...], *, kept: bool
) -> None:
    events = "|".join(AFTER_THE_FIRST + moment)
    with running_collector(tmp_path, command=sabotaged("die-before", events)) as collector:
        assert collector.export(FIRST).status_code == 200
        acknowledged = read_books(collector)
        with pytest.raises(httpx.TransportError):
            collector.export(SECOND)
        assert collector.process.wait(timeout=20) == -signal.SIGKILL

    with running_collector(tmp_path) as collector:
        found = read_books(collector)
        assert_charged_once(found, [1, 2, 3, 4, 5, 6] if kept else [1, 2, 3])
        assert found.charges[:3] == acknowledged.charges
        assert collector.export(SECOND).status_code == 200
        books = read_books(collector)
        assert_charged_once(books, [1, 2, 3, 4, 5, 6])
        for again in (FIRST, SECOND, FIRST):
            assert collector.export(again).status_code == 200
        assert read_books(collector) == books
        assert [reason for _, _, reason, *_ in books.set_aside] == ["duplicate", "no_usage"]
        assert books.set_aside == acknowledged.set_aside
    assert integrity(tmp_path) == "ok"


def test_an_acknowledged_batch_survives_a_kill_at_once(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        assert collector.export(FIRST).status_code == 200
        collector.kill()

    with running_collector(tmp_path) as collector:
        books = read_books(collector)
        assert_charged_once(books, [1, 2, 3])
        assert collector.export(FIRST).status_code == 200
        assert read_books(collector) == books


def test_each_charge_is_in_one_receipt_although_sealing_was_killed_at_every_step(tmp_path: Path) -> None:
    settings = {"P402_SESSION_IDLE_SECONDS": "0"}  # every session is due as soon as it is seen
    moments = (
        ("INSERT INTO cursors", COMMIT),  # the charges were followed, but that is not kept
        (RECEIPT,),  # an entry, its nodes and its checkpoint are written, the receipt is not
        (RECEIPT, COMMIT),  # a receipt is complete, but not committed
        (RECEIPT, COMMIT, RECEIPT, "UPDATE sessions"),  # one receipt is kept, the second one is half written
    )
    batches = [request_of([*map(numbered, range(at, at + 9))]) for at in range(1, 1 + 9 * len(moments), 9)]
    for batch, moment in zip(batches, moments, strict=True):
        events = "|".join((ROW, *moment))
        with running_collector(tmp_path, settings, sabotaged("die-before", events)) as collector:
            with suppress(httpx.TransportError):  # killed before it could answer
                collector.export(batch)
            assert collector.process.wait(timeout=20) == -signal.SIGKILL

    with running_collector(tmp_path, settings) as collector:
        for batch in batches:
            assert collector.export(batch).status_code == 200
        numbers = range(1, 1 + 9 * len(moments))
        assert_charged_once(read_books(collector), numbers)
        eventually(lambda: covered_by_receipts(collector) == len(numbers))
        audit_log(collector)
    assert integrity(tmp_path) == "ok"


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


def test_five_kills_at_random_moments_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    print(f"seed {SEED}")  # noqa: T201 - shown when the test fails
    moments = random.Random(SEED)
    port = steady_port()
    settings = {"P402_LISTEN": f"127.0.0.1:{port}", "P402_SESSION_IDLE_SECONDS": "0"}  # sealing goes on all the time
    senders = Senders(f"http://127.0.0.1:{port}/v1/traces")
    senders.start(clients=4)  # so that at every moment several batches are somewhere on their way
    for _ in range(KILLS):
        with running_collector(tmp_path, settings) as collector:
            senders.wait_for(len(senders.acknowledged) + moments.randint(1, 200))
            collector.kill()

    with running_collector(tmp_path, settings) as collector:
        senders.finish()
        numbers = senders.acknowledged
        print(f"{len(numbers)} spans; {senders.repeated} batches were sent more than once")  # noqa: T201
        assert senders.repeated >= KILLS
        assert_charged_once(read_books(collector), numbers)
        eventually(lambda: covered_by_receipts(collector) == len(numbers))
        audit_log(collector)
    assert integrity(tmp_path) == "ok"


def test_a_kill_in_the_middle_of_the_first_start_does_not_hinder_the_second(tmp_path: Path) -> None:
    command = sabotaged("die-before", "CREATE TABLE receipts")
    with (
        pytest.raises(AssertionError, match="ended before it listened"),
        running_collector(tmp_path, command=command),
    ):
        pass
    with running_collector(tmp_path) as collector:
        assert collector.export(FIRST).status_code == 200


def test_a_signing_key_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "log.pem"
    save_on_a_full_disk = (
        "import resource, sys, pathlib; from p402.receipts import Signer;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10));"
        "Signer.generate('example.com/log').save(pathlib.Path(sys.argv[1]))"
    )
    failed = subprocess.run([sys.executable, "-c", save_on_a_full_disk, file], capture_output=True, check=False)
    assert failed.returncode != 0
    assert list(tmp_path.iterdir()) == []
    key = Signer.generate("example.com/log")
    key.save(file)
    assert [*tmp_path.iterdir()] == [file]
    assert file.stat().st_mode & 0o777 == 0o600
    assert Signer.from_file(file, "example.com/log").verifier_key == key.verifier_key
    with pytest.raises(FileExistsError):
        Signer.generate("example.com/log").save(file)
