"""New keys of logs: who signs what, when the old key stops, and collectors that share the files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from p402.collector.sessions.signing import LogSigners
from p402.collector.storage.log_keys import LogOfAnotherKey, keys_of_log
from p402.collector.storage.log_upkeep import SqlLogs
from p402.receipts import PinnedKey, RotationReason, open_checkpoint
from p402.receipts.errors import CheckpointUntrusted
from support.clock import FakeClock
from support.open_books import OpenBooks, open_books
from support.otlp import ASpan

SCHEDULED, COMPROMISED = RotationReason.SCHEDULED, RotationReason.COMPROMISED


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path) as opened:
        yield opened


async def receipt(books: OpenBooks, organisation: str = "acme") -> None:
    await books.send(ASpan.of({"p402.organisation": organisation}))
    books.clock.advance(hours=1)
    await books.sealer.catch_up()


async def rotate(
    books: OpenBooks, reason: RotationReason = SCHEDULED, overlap: timedelta = timedelta(days=1)
) -> list[str]:
    books.signers.make_next_key()
    store = SqlLogs(books.database, books.signers)
    return await store.rotate(reason, books.clock.now() + overlap, books.clock.now())


def keys_of(books: OpenBooks, organisation: str = "acme") -> list[str]:
    return [signer.verifier_key for signer in books.signers.signer(organisation).all()]


def signed_by(books: OpenBooks, organisation: str = "acme") -> list[list[int]]:
    """Which of the keys (numbered from 0) signed each checkpoint."""
    notes = books.rows(f"SELECT note FROM checkpoints WHERE organisation = '{organisation}' ORDER BY size")
    return [
        [number for number, key in enumerate(keys_of(books, organisation)) if signed(note, key)] for (note,) in notes
    ]


def signed(note: str, key: str) -> bool:
    try:
        open_checkpoint(note, [key])
    except CheckpointUntrusted:
        return False
    return True


def noted(books: OpenBooks) -> list[tuple[int, int | None]]:
    query = "SELECT since_size, until_size FROM log_keys WHERE organisation = 'acme' ORDER BY since_size"
    return [(since, until) for since, until in books.rows(query)]


async def test_both_keys_sign_until_the_overlap_is_over_and_then_the_new_one_alone(books: OpenBooks) -> None:
    await receipt(books)
    assert await rotate(books) == ["acme"]
    await receipt(books)
    assert noted(books) == [(1, None), (2, None)]
    books.clock.advance(days=1)
    await receipt(books)
    await receipt(books)
    assert signed_by(books) == [[0], [0, 1], [0, 1], [1], [1]]
    assert noted(books) == [(1, 3), (2, None)]
    _, entry, *_ = books.entries()
    old, new = keys_of(books)
    assert (entry["type"], entry["old_key"], entry["new_key"], entry["reason"]) == (
        "key-rotation",
        old,
        new,
        "scheduled",
    )


async def test_whoever_keeps_the_list_of_keys_trusts_a_key_no_further_than_to_its_successor(books: OpenBooks) -> None:
    """Also while they overlap: the old key's signature is then for those who have only the old key."""
    await receipt(books)
    await rotate(books)
    await receipt(books)
    await rotate(books)
    await receipt(books)
    keys = await books.database.read(lambda connection: keys_of_log(connection, "acme"))
    assert [(key.since_size, key.last_size) for key in keys] == [(1, 1), (2, 3), (4, None)]
    pinned = [PinnedKey(key.vkey, key.since_size, key.last_size) for key in keys]
    for (note,) in books.rows("SELECT note FROM checkpoints WHERE organisation = 'acme'"):
        size = open_checkpoint(note, pinned).size
        assert [key.may_sign(size) for key in pinned].count(True) == 1


async def test_a_compromised_key_signs_nothing_any_more(books: OpenBooks) -> None:
    await receipt(books)
    await rotate(books)
    await rotate(books, COMPROMISED, timedelta(0))
    await receipt(books)
    assert signed_by(books) == [[0], [0, 1], [2], [2]]
    assert noted(books) == [(1, 2), (2, 2), (3, None)]
    assert books.entries()[2]["overlap_until"] == books.entries()[2]["issued_at"]


async def test_a_log_that_begins_later_begins_with_the_newest_key(books: OpenBooks) -> None:
    await receipt(books)
    await rotate(books)
    await receipt(books, "initech")
    assert signed_by(books, "initech") == [[1]]
    assert await SqlLogs(books.database, books.signers).not_on_newest_key() == []


async def test_another_collector_notices_the_key_when_it_has_the_file(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_books(tmp_path, clock) as books:
        await receipt(books)
        async with open_books(tmp_path, clock) as other:
            await receipt(other)
            await rotate(other)
        await receipt(books)
        assert signed_by(books) == [[0], [0], [0, 1], [0, 1]]


async def test_without_the_file_of_the_new_key_nothing_is_sealed_until_it_is_there(
    books: OpenBooks, tmp_path: Path
) -> None:
    await receipt(books)
    await rotate(books)
    elsewhere = LogSigners(tmp_path / "copies" / "log.pem", "logs.example.com")
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "log.pem").write_bytes((tmp_path / "log.pem").read_bytes())
    store = SqlLogs(books.database, elsewhere)
    books.clock.advance(hours=2)

    async def beat(now: datetime) -> bool:
        return await store.beat("acme", now, now)

    with pytest.raises(LogOfAnotherKey, match="p402 log rotate"):
        await beat(books.clock.now())
    (tmp_path / "copies" / "log-2.pem").write_bytes((tmp_path / "log-2.pem").read_bytes())
    assert await beat(books.clock.now())


async def test_an_interrupted_rotation_is_known(books: OpenBooks) -> None:
    await receipt(books)
    books.signers.make_next_key()
    store = SqlLogs(books.database, books.signers)
    assert await store.not_on_newest_key() == ["acme"]
    await receipt(books)
    assert signed_by(books) == [[0], [0]]


async def test_a_log_of_a_version_without_noted_keys_goes_on_with_its_key(books: OpenBooks) -> None:
    await receipt(books)
    books.kept.run("DELETE FROM log_keys")
    books.signers.make_next_key()
    await receipt(books)
    assert signed_by(books) == [[0], [0]]
    assert noted(books) == [(1, None)]


async def test_names_of_files_that_are_no_keys_of_ours_are_left_alone(tmp_path: Path) -> None:
    signers = LogSigners(tmp_path / "log.pem", "logs.example.com")
    signers.make_key_if_missing()
    for name in ("log-old.pem", "log-02.pem", "log-1.pem", "catalog-2.pem"):
        (tmp_path / name).write_text("not a key")
    assert signers.files() == [tmp_path / "log.pem"]
    for number in range(2, 12):
        assert signers.make_next_key() == tmp_path / f"log-{number}.pem"
    assert [file.name for file in signers.files()][-2:] == ["log-10.pem", "log-11.pem"]
