"""What becomes of a log that somebody tampers with, in the database: each is found, and named.

``pytest -s`` prints the table. The database is that of a real collector, stopped; the tampering is done to a copy of its
file. Some can write to the database, some can make all of it agree, and some have the signing key too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from p402.collector.cli import main as p402
from support.sample_log import fixed_signer
from support.tampered_log import ANCHORED, SIZE, Table, cheaper, log, original, table
from support.tampering import ORGANISATION, Held, rechained

__all__ = ["log", "original", "table"]


def faults(
    log: Held, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> list[str]:
    """What `p402 log check` names."""
    monkeypatch.setenv("P402_DATA_DIR", str(log.file.parent))
    capsys.readouterr()
    code = p402(["log", "check", "--json", "--organisation", ORGANISATION, *arguments])
    [report] = json.loads(capsys.readouterr().out)
    found = [finding["fault"] for finding in report["findings"]]
    assert code == (1 if found else 0)
    return found


# --- the database

Tamper = Callable[[sqlite3.Connection], object]


def change_amount(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE log_entries SET body = replace(CAST(body AS TEXT), '0.264235', '0.164235') WHERE seq = 2")
    sql.execute("UPDATE log_entries SET body = CAST(body AS BLOB) WHERE seq = 2")


def swap_entries(sql: sqlite3.Connection) -> None:
    bodies = dict(sql.execute("SELECT seq, body FROM log_entries WHERE seq IN (2, 3)").fetchall())
    sql.executemany("UPDATE log_entries SET body = ? WHERE seq = ?", [(bodies[3], 2), (bodies[2], 3)])


def insert_entry(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE log_entries SET seq = -1 - seq WHERE seq >= 3")
    sql.execute("UPDATE log_entries SET seq = -seq WHERE seq < 0")
    sql.execute("INSERT INTO log_entries SELECT organisation, 3, type, body FROM log_entries WHERE seq = 1")


def swap_nodes(sql: sqlite3.Connection) -> None:
    hashes = dict(sql.execute("SELECT position, hash FROM log_nodes WHERE level = 1 AND position < 2").fetchall())
    sql.executemany("UPDATE log_nodes SET hash = ? WHERE level = 1 AND position = ?", [(hashes[1], 0), (hashes[0], 1)])


DATABASE: list[tuple[str, Tamper, str]] = [
    ("edit an entry", change_amount, "changed entry"),
    ("delete an entry", lambda sql: sql.execute("DELETE FROM log_entries WHERE seq = 3"), "missing entry"),
    ("reorder two entries", swap_entries, "misplaced entry"),
    ("insert an entry", insert_entry, "misplaced entry"),
    (
        "append an entry",
        lambda sql: sql.execute(
            "INSERT INTO log_entries SELECT organisation, 8, type, body FROM log_entries WHERE seq = 7"
        ),
        "unsigned tail",
    ),
    ("cut the tail", lambda sql: sql.execute("DELETE FROM log_entries WHERE seq >= 6"), "cut tail"),
    ("swap nodes of the tree", swap_nodes, "wrong node"),
    (
        "delete nodes of the tree",
        lambda sql: sql.execute("DELETE FROM log_nodes WHERE level = 2"),
        "wrong node",
    ),
    (
        "exchange two checkpoints",
        lambda sql: sql.execute(
            "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 2) WHERE size = 3"
        ),
        "wrong checkpoint",
    ),
    (
        "delete the newest checkpoint",
        lambda sql: sql.execute("DELETE FROM checkpoints WHERE size = 8"),
        "unsigned tail",
    ),
    ("change a settlement", lambda sql: sql.execute("UPDATE settlements SET memo = zeroblob(32)"), "wrong settlement"),
    ("delete a settlement", lambda sql: sql.execute("DELETE FROM settlements"), "wrong settlement"),
    (
        "give a receipt another place",
        lambda sql: sql.execute("UPDATE receipts SET seq = 99 WHERE seq = 2"),
        "wrong receipt",
    ),
    ("change the table of keys", lambda sql: sql.execute("UPDATE log_keys SET vkey = 'mine'"), "wrong key"),
    ("change where the log ends", lambda sql: sql.execute("UPDATE logs SET size = 7"), "wrong node"),
]


def test_nothing_is_found_where_nobody_tampered(
    log: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text(log.checkpoint())
    assert faults(log, monkeypatch, capsys, "--checkpoint", str(kept)) == []


@pytest.mark.parametrize(("what", "tamper", "named"), DATABASE, ids=[row[0] for row in DATABASE])
def test_a_database_that_was_tampered_with(
    log: Held,
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    tamper: Tamper,
    named: str,
) -> None:
    with log.sql() as sql:
        sql.execute("PRAGMA foreign_keys = OFF")
        tamper(sql)
    found = faults(log, monkeypatch, capsys)
    table.append(("database", what, ", ".join(dict.fromkeys(found))))
    assert named in found


@pytest.mark.parametrize(
    ("what", "signer", "alone", "kept"),
    [
        ("rewrite all, without a key", None, "wrong checkpoint", "fork"),
        ("rewrite all, sign with another key", "stranger", "wrong key", "fork"),
        ("rewrite all, sign with the key", "own", "fork", "fork"),
    ],
)
def test_a_database_that_agrees_with_itself(
    log: Held,
    tmp_path: Path,
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    signer: str | None,
    alone: str,
    kept: str,
) -> None:
    """Whoever has the key is found out by the settlement, or by a checkpoint that somebody kept."""
    checkpoint = tmp_path / "kept.txt"
    checkpoint.write_text(log.checkpoint())
    keys = {None: None, "own": log.key, "stranger": fixed_signer(origin=log.key.origin)}
    log.rewrite(rechained(log.bodies(), cheaper), signer=keys[signer])
    found = faults(log, monkeypatch, capsys)
    pinned = faults(log, monkeypatch, capsys, "--checkpoint", str(checkpoint))
    table.append(("database", what, f"{', '.join(found)}; with a kept checkpoint: {', '.join(pinned)}"))
    assert alone in found
    assert kept in pinned


@pytest.mark.parametrize(
    ("what", "size", "alone"),
    [
        ("cut the tail everywhere, behind the anchor", SIZE - 2, []),
        ("cut the tail everywhere, before the anchor", ANCHORED - 1, ["cut tail", "wrong settlement"]),
    ],
)
def test_a_tail_that_was_cut_without_a_trace(
    log: Held,
    tmp_path: Path,
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    size: int,
    alone: list[str],
) -> None:
    """What is behind the last anchor can only be missed by whoever kept a checkpoint of it."""
    checkpoint = tmp_path / "kept.txt"
    checkpoint.write_text(log.checkpoint())
    log.rewrite(log.bodies()[:size], signer=None)
    found = faults(log, monkeypatch, capsys)
    pinned = faults(log, monkeypatch, capsys, "--checkpoint", str(checkpoint))
    shown = ", ".join(found) or "nothing (not anchored yet)"
    table.append(("database", what, f"{shown}; with a kept checkpoint: {', '.join(pinned)}"))
    assert found == alone
    assert "cut tail" in pinned
