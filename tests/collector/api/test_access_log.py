"""Every read of personal data is a row of the access log, before the answer leaves; and the rows are in the log."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from p402.collector.storage.access_log import Access, AccessLogSealing
from p402.receipts import access_log_digest
from support.databases import kept_in
from support.personal import personal_books
from support.server import Server


async def rows_of(server: Server, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await server.get("/v1/access-log?organisation=acme", key)).json["reads"]
    return found


async def receipt_of(server: Server) -> str:
    key = await server.key("receipts:read", organisation="acme")
    [receipt] = (await server.get("/v1/receipts", key)).json["receipts"]
    receipt_id: str = receipt["receipt_id"]
    return receipt_id


async def test_each_read_of_what_is_personal_is_a_row_with_the_key_and_what_was_read(guarded: Server) -> None:
    receipt_id = await receipt_of(guarded)
    dpo = await guarded.key("holds", organisation="acme")
    reader = await guarded.key("receipts:read", "receipts:personal", "spend:read", organisation="acme")
    [reading] = [key for key in await guarded.collector.keys.list() if "receipts:personal" in key.scopes]
    for path in (
        f"/v1/receipts/{receipt_id}",
        f"/v1/receipts/{receipt_id}.json",
        "/v1/receipts",
        f"/receipts/{receipt_id}",
        "/receipts?period=90d",
    ):
        assert (await guarded.get(path, reader)).status == 200
    found = await rows_of(guarded, dpo)
    assert [row["what"] for row in found] == [
        "GET /v1/receipts/{receipt_id}",
        "GET /v1/receipts/{receipt_id}.json",
        "GET /v1/receipts",
        "GET /receipts/{receipt_id}",
        "GET /receipts",
    ]
    assert [row["number"] for row in found] == [1, 2, 3, 4, 5]
    assert {(row["key_id"], tuple(row["items"]), row["count"], row["who"]) for row in found} == {
        (reading.id, (receipt_id,), 1, None)
    }


async def test_what_holds_nothing_personal_is_no_row(guarded: Server) -> None:
    receipt_id = await receipt_of(guarded)
    dpo = await guarded.key("holds", organisation="acme")
    plain = await guarded.key("receipts:read", organisation="acme")
    personal = await guarded.key("receipts:read", "receipts:personal", organisation="acme")
    for path in (f"/v1/receipts/{receipt_id}", f"/v1/receipts/{receipt_id}.json", "/v1/receipts"):
        await guarded.get(path, plain)
    await guarded.get(f"/v1/receipts/{receipt_id}/body", personal)
    await guarded.get(f"/v1/receipts/{receipt_id}/proof", personal)
    assert await rows_of(guarded, dpo) == []


async def test_who_has_it_already_learns_nothing_and_makes_no_row(guarded: Server) -> None:
    receipt_id = await receipt_of(guarded)
    dpo = await guarded.key("holds", organisation="acme")
    key = await guarded.key("receipts:read", "receipts:personal", organisation="acme")
    etag = (await guarded.get(f"/v1/receipts/{receipt_id}", key)).headers["ETag"]
    assert (await guarded.get(f"/v1/receipts/{receipt_id}", key, **{"If-None-Match": etag})).status == 304
    assert len(await rows_of(guarded, dpo)) == 1


async def test_a_reader_whose_key_is_a_persons_is_committed_to_by_name(guarded: Server, tmp_path: Path) -> None:
    receipt_id = await receipt_of(guarded)
    own = await guarded.key("receipts:read", "receipts:personal", organisation="acme", employee="e-1042")
    await guarded.get(f"/v1/receipts/{receipt_id}", own)
    [row] = await rows_of(guarded, await guarded.key("holds", organisation="acme"))
    assert row["who"] is None
    assert row["who_digest"] is not None
    [named] = await rows_of(guarded, await guarded.key("holds", "receipts:personal", organisation="acme"))
    assert named["who"] == "e-1042"
    assert kept_in(tmp_path).rows("SELECT COUNT(*) FROM access_log") == [(2,)], "reading a reader's name is a read too"


async def test_an_answer_does_not_leave_when_its_row_cannot_be_written(guarded: Server, tmp_path: Path) -> None:
    receipt_id = await receipt_of(guarded)
    key = await guarded.key("receipts:read", "receipts:personal", organisation="acme")
    with kept_in(tmp_path).refusing_rows_of("access_log", "no room"):
        answer = await guarded.get(f"/v1/receipts/{receipt_id}", key)
    assert answer.status >= 500
    assert b"e-1042" not in answer.body
    assert (await guarded.get(f"/v1/receipts/{receipt_id}", key)).status == 200


async def test_rows_are_hashed_into_the_log_when_one_has_waited_long_enough(guarded: Server, tmp_path: Path) -> None:
    receipt_id = await receipt_of(guarded)
    dpo = await guarded.key("holds", organisation="acme")
    key = await guarded.key("receipts:read", "receipts:personal", organisation="acme")
    for _ in range(3):
        await guarded.get(f"/v1/receipts/{receipt_id}", key)
    keeper = guarded.collector.privacy.keeper
    await keeper.look()
    assert {row["seq"] for row in await rows_of(guarded, dpo)} == {None}
    guarded.clock.advance(minutes=11)
    await keeper.look()
    found = await rows_of(guarded, dpo)
    [entry] = [
        entry
        for (body,) in kept_in(tmp_path).rows("SELECT body FROM log_entries WHERE organisation = 'acme'")
        if (entry := json.loads(body))["type"] == "access-log"
    ]
    assert {row["seq"] for row in found} == {entry["seq"]}
    assert (entry["first"], entry["last"], entry["count"]) == (1, 3, 3)
    lines = [
        {**{name: row[name] for name in ("number", "at", "key_id", "what", "items", "count")}, "who": row["who_digest"]}
        for row in found
    ]
    assert entry["sha256"] == access_log_digest(lines)


async def test_a_log_whose_key_is_not_at_hand_keeps_the_reads_of_no_others_out_of_theirs(tmp_path: Path) -> None:
    async with personal_books(tmp_path) as personal:
        books, now = personal.books, personal.books.clock.now()

        def read(connection: Connection) -> None:
            for whose in ("acme", "initech"):
                row = Access(organisation=whose, key_id="key_1", who=None, what="GET /v1/receipts", items=["rcpt_1"])
                personal.access_log.record(connection, row, now)

        await books.database.write(read)
        books.kept.run(
            "INSERT INTO log_keys (organisation, vkey, since_size) VALUES ('acme', 'of another collector', 1)"
        )
        assert await AccessLogSealing(books.database, personal.access_log).seal_due(now, timedelta(0)) == 1
        unsealed = books.rows("SELECT organisation FROM access_log WHERE seq IS NULL")
        assert (unsealed, len(books.entries("initech"))) == ([("acme",)], 1)
