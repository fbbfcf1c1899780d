"""What was deleted from an SQLite file before it overwrote deleted content by itself, and is scrubbed now."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from p402.collector.storage.sqlite import SqliteBackend
from support.personal import files_with


def test_scrubbing_rewrites_pages_that_were_freed_long_ago(tmp_path: Path) -> None:
    file = tmp_path / "p402.sqlite3"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in ("journal_mode=WAL", "secure_delete=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE people (name TEXT)")
        connection.executemany("INSERT INTO people VALUES (?)", [("ada.lovelace " * 20,)] * 500)
        connection.execute("DELETE FROM people")
    assert files_with(tmp_path, ["ada.lovelace"]) != {}
    assert SqliteBackend(file).scrub()
    assert files_with(tmp_path, ["ada.lovelace"]) == {}


def test_who_cannot_have_the_file_alone_says_so(tmp_path: Path) -> None:
    file = tmp_path / "p402.sqlite3"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE people (name TEXT)")
        connection.execute("BEGIN IMMEDIATE")
        assert not SqliteBackend(file, scrub_patience=0).scrub()
        connection.execute("ROLLBACK")
    assert SqliteBackend(file).scrub()
