"""The log in the database: where it ends, proofs that are read, and books that were begun by an earlier version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection

from p402.collector.storage.log import (
    LogDamaged,
    LogWriter,
    append_entry,
    consistency_hashes,
    latest_checkpoint,
    log_size,
    proof_hashes,
    proofs_hashes,
)
from p402.collector.storage.migrate import _config, upgrade
from p402.receipts import (
    Entry,
    EntryPlace,
    heartbeat_entry,
    open_checkpoint,
    parse_checkpoint,
    verify_consistency,
    verify_inclusion,
)
from support.databases import Kept, kept_in
from support.open_books import OpenBooks, open_books
from support.sample_log import NINE


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path) as opened:
        yield opened


def beat(seq: int, prev: bytes) -> Entry:
    return heartbeat_entry(EntryPlace(organisation="acme", seq=seq, prev=prev, issued_at=NINE))


async def append(books: OpenBooks, *groups: int) -> None:
    """Append so many entries in a change each."""
    keys = books.signers.signer("acme")

    def change(connection: Connection, count: int) -> None:
        log = LogWriter(connection, "acme", keys, NINE)
        for _ in range(count):
            log.append("heartbeat", beat)
        log.sign()

    for count in groups:
        await books.database.write(partial(change, count=count))


async def test_entries_of_one_change_share_a_checkpoint_and_every_size_can_be_proved(books: OpenBooks) -> None:
    await append(books, 1, 3, 5, 8, 0)
    sizes = [size for (size,) in books.rows("SELECT size FROM checkpoints ORDER BY size")]
    assert sizes == [1, 4, 9, 17]
    leaves = [leaf for (leaf,) in books.rows("SELECT hash FROM log_nodes WHERE level = 0 ORDER BY position")]
    notes = dict(books.rows("SELECT size, note FROM checkpoints"))
    roots = {size: parse_checkpoint(note).root for size, note in notes.items()}

    def check(connection: Connection) -> None:
        for size in sizes:
            for seq, hashes in enumerate(proofs_hashes(connection, "acme", range(size), size)):
                verify_inclusion(leaves[seq], seq, size, hashes, roots[size])
                assert hashes == proof_hashes(connection, "acme", seq, size)
            for old in (it for it in sizes if it <= size):
                verify_consistency(
                    old, size, roots[old], roots[size], consistency_hashes(connection, "acme", old, size)
                )
        assert log_size(connection, "acme") == 17
        assert log_size(connection, "nobody") == 0

    await books.database.read(check)


async def test_a_change_that_fails_leaves_nothing_of_what_it_appended(books: OpenBooks) -> None:
    await append(books, 3)

    def fail(connection: Connection) -> None:
        append_entry(connection, "acme", "heartbeat", beat, books.signers.signer("acme"), NINE)
        raise ValueError("not like this")

    with pytest.raises(ValueError, match="not like this"):
        await books.database.write(fail)
    await append(books, 2)
    note = await books.database.read(lambda connection: latest_checkpoint(connection, "acme"))
    assert note is not None
    assert open_checkpoint(note, [books.signers.signer("acme").verifier_key]).size == 5
    assert [entry["seq"] for entry in books.entries()] == [0, 1, 2, 3, 4]


async def test_a_missing_node_is_said_to_be_missing(books: OpenBooks) -> None:
    await append(books, 9)
    books.kept.run("DELETE FROM log_nodes WHERE level = 1")
    with pytest.raises(LogDamaged, match="p402 log check"):
        await books.database.read(lambda connection: proof_hashes(connection, "acme", 4, 9))


async def test_each_change_tells_of_its_checkpoint_once(books: OpenBooks) -> None:
    await append(books, 3, 2)
    assert books.rows("SELECT dedupe_key FROM events ORDER BY seq") == [("3",), ("5",)]


@pytest.fixture
def new(tmp_path: Path) -> Kept:
    return kept_in(tmp_path, migrated=False)


async def test_a_log_of_an_earlier_version_goes_on_where_it_ended(new: Kept, tmp_path: Path) -> None:
    """The migration notes where logs end, from their nodes."""
    backend = new.backend()
    backend.prepare()
    with backend.engine.connect() as connection:
        backend.begin_migration(connection)
        command.upgrade(_config(connection), "0006")
        backend.commit(connection, ())
    backend.engine.dispose()
    reference = tmp_path / "reference"
    async with open_books(reference) as books:
        await append(books, 1, 1, 1, 1, 1)
        copied: dict[str, list[tuple[Any, ...]]] = {
            table: books.rows(f"SELECT * FROM {table}") for table in ("log_entries", "log_nodes", "checkpoints")
        }
        expected = books.rows("SELECT size, last_leaf, edge, appended_at FROM logs")
    (tmp_path / "log.pem").write_bytes((reference / "log.pem").read_bytes())
    with backend.engine.connect() as connection:
        for table, rows in copied.items():
            for row in rows:
                marks = ", ".join(["?" if new.url is None else "%s"] * len(row))
                connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({marks})", row)
        connection.commit()
    backend.engine.dispose()
    upgrade(new.backend())
    assert new.rows("SELECT size, last_leaf, edge, appended_at FROM logs") == expected
    async with open_books(tmp_path) as books:
        await append(books, 1)
        assert [entry["seq"] for entry in books.entries()] == list(range(6))
        assert books.rows("SELECT since_size FROM log_keys") == [(1,)]
