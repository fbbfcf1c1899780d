"""A backup that was made before an erasure, and is put back after it."""

from __future__ import annotations

from pathlib import Path

from support.otlp import ASpan
from support.personal import files_with, personal_books, tables_with

COST = 264_235_000  # nano-USD of one worked example


def call(employee: str | None, session: str) -> ASpan:
    return ASpan.of({"p402.employee": employee, "p402.session": session})


async def test_a_restored_backup_loses_again_what_was_erased_since(tmp_path: Path) -> None:
    async with personal_books(tmp_path) as personal:
        await personal.sealed(call("ada.l", "a.1"), call(None, "a.1"), call("bob", "b.1"))
        personal.books.kept.run("PRAGMA wal_checkpoint(TRUNCATE)")
        backup = personal.books.kept.file.read_bytes()
        erasure = await personal.erase("ada.l")
    listed = tmp_path / "erasures" / "suppressed.jsonl"
    listed.write_text(listed.read_text() * 2)  # earlier versions could write a line twice
    for suffix in ("", "-wal", "-shm"):
        tmp_path.joinpath(f"p402.sqlite3{suffix}").unlink(missing_ok=True)
    tmp_path.joinpath("p402.sqlite3").write_bytes(backup)
    async with personal_books(tmp_path) as personal:
        assert "ada.l" in tables_with(personal.books.kept, ["ada.l"])
        now = personal.books.clock.now()
        assert await personal.books.database.write(lambda connection: personal.changes.replay(connection, now)) == 1
        await personal.erasures.catch_up()
        assert tables_with(personal.books.kept, ["ada.l", "a.1"]) == {}
        assert personal.spend("employee") == {erasure.pseudonym: COST, "bob": COST, "": COST}
        assert await personal.books.database.write(lambda connection: personal.changes.replay(connection, now)) == 0
    assert files_with(tmp_path, ["ada.l", "a.1"]) == {}
