"""Nothing is lost, nothing is doubled: the collector is killed with SIGKILL at chosen moments and at random ones."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from p402.receipts import Signer
from support.books import audit_log, integrity, read_books
from support.collector import eventually, running_collector
from support.databases import each_database
from support.numbered_spans import Senders, assert_charged_once, covered_by_receipts, numbered
from support.otlp import ASpan, request_of
from support.ports import steady_port
from support.sabotaged_collector import ANSWER, sabotaged

__all__ = ["each_database"]
SEED = 402
KILLS = 5

ROW, COUNTER, COMMIT = "INSERT INTO charges", "INSERT INTO spend_hourly", "COMMIT"
RECEIPT = "INSERT INTO receipts"


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
        (RECEIPT, RECEIPT),  # of the receipts that are sealed together the second one is half written
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
