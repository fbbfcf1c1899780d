"""From charges to receipts in a signed log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from p402.collector.sessions import seal
from p402.collector.storage.log import latest_checkpoint
from p402.collector.storage.receipts import receipt_proof, receipts_page
from p402.receipts import NO_PREVIOUS, SealedReceipt, leaf_hash, open_checkpoint, parse_proof, verify_inclusion
from p402.vocabulary import Attribution
from support.clock import FakeClock
from support.open_books import OpenBooks, open_books
from support.otlp import ASpan

LEGAL = Attribution("acme", "legal")
NOBODY = Attribution()


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path) as opened:
        yield opened


async def sealed(books: OpenBooks, **later: float) -> list[dict[str, Any]]:
    """The bodies of the receipts that are made after so much time."""
    books.clock.advance(**later)
    return [body(receipt) for receipt in await books.sealer.catch_up()]


def body(receipt: SealedReceipt) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(receipt.body)
    return found


async def test_a_silent_session_gets_its_receipt(books: OpenBooks) -> None:
    await books.send(ASpan(), ASpan.of({"p402.decision.rationale": "complexity=7"}))
    assert await sealed(books, minutes=14) == []
    [receipt] = await sealed(books, minutes=1)
    assert (receipt["cost_usd"], receipt["requests"], receipt["department"]) == ("0.52847", 2, "legal")
    session = receipt["session"]
    assert (session["closed_by"], session["part"], session["supplements"]) == ("idle", 1, None)
    assert receipt["routing"] == ["complexity=7"]
    assert await sealed(books, hours=1) == []


async def test_a_session_that_goes_on_gets_a_receipt_every_day(books: OpenBooks) -> None:
    parts = []
    for _ in range(30 * 6):
        await books.send(ASpan())
        parts += await sealed(books, minutes=10)
    assert [part["session"]["part"] for part in parts] == [1]
    assert parts[0]["requests"] == 24 * 6


async def test_a_closed_session_waits_a_moment_for_late_spans(books: OpenBooks) -> None:
    await books.send(ASpan())
    await books.sealer.catch_up()
    assert await books.sealer.close("acme", "review-7") == 1
    assert await sealed(books, seconds=9) == []
    await books.send(ASpan())
    assert await sealed(books, seconds=9) == []
    [receipt] = await sealed(books, seconds=1)
    assert (receipt["requests"], receipt["session"]["closed_by"]) == (2, "api")


async def test_a_session_may_be_closed_before_its_first_charge_arrives(books: OpenBooks) -> None:
    assert await books.sealer.close("acme", "review-7") == 0
    await books.send(ASpan())
    [receipt] = await sealed(books, seconds=10)
    assert receipt["session"]["closed_by"] == "api"


async def test_closing_one_organisations_session_leaves_its_namesake_open(books: OpenBooks) -> None:
    await books.send(ASpan(), ASpan.of({"p402.organisation": "initech"}))
    await books.sealer.catch_up()
    assert await books.sealer.close("acme", "review-7") == 1
    assert [receipt["organisation"] for receipt in await sealed(books, seconds=10)] == ["acme"]


def call(books: OpenBooks, **attributes: Any) -> ASpan:
    """A call that begins now."""
    return ASpan.of(attributes, started_ns=int(books.clock.now().timestamp()) * 10**9)


async def test_a_session_that_goes_on_after_its_receipt_gets_a_part_that_supplements_the_first(
    books: OpenBooks,
) -> None:
    for count in (1, 1, 2):
        await books.send(*(call(books) for _ in range(count)))
        await sealed(books, hours=1)
    first, second, third = books.entries()
    assert [(entry["type"], entry["session"]["part"]) for entry in (first, second, third)] == [
        ("session-receipt", 1),
        ("session-receipt", 2),
        ("session-receipt", 3),
    ]
    assert second["session"]["supplements"] == third["session"]["supplements"] == first["receipt_id"]
    assert [entry["requests"] for entry in (first, second, third)] == [1, 1, 2]


async def test_late_calls_correct_the_receipt_that_should_have_had_them(books: OpenBooks) -> None:
    early = call(books)
    await books.send(call(books))
    await sealed(books, hours=1)
    late = call(books)
    await books.send(call(books))
    await sealed(books, hours=1)
    await books.send(early)
    await sealed(books, hours=1)
    await books.send(late)
    await sealed(books, hours=1)
    await books.send(call(books), ASpan())
    await sealed(books, hours=1)
    assert [(entry["type"], entry["session"]["part"]) for entry in books.entries()] == [
        ("session-receipt", 1),
        ("session-receipt", 2),
        ("correction", 3),
        ("correction", 4),
        ("session-receipt", 5),
    ]
    first, second, *later = books.entries()
    named = [entry["session"]["supplements"] for entry in later]
    assert named == [first["receipt_id"], second["receipt_id"], first["receipt_id"]]
    assert books.rows("SELECT type FROM log_entries ORDER BY seq")[2:4] == [("correction",), ("correction",)]


async def test_sessions_that_are_sealed_together_share_a_checkpoint(books: OpenBooks) -> None:
    await books.send(*(ASpan.of({"p402.session": f"s{number}"}) for number in range(5)))
    assert len(await sealed(books, hours=1)) == 5
    assert books.rows("SELECT size FROM checkpoints") == [(5,)]
    told = books.rows("SELECT type, count(*) FROM events GROUP BY type ORDER BY type")
    assert told == [("checkpoint.published", 1), ("receipt.issued", 5)]


async def test_a_late_charge_of_a_closed_session_waits_the_grace_only(books: OpenBooks) -> None:
    await books.send(ASpan())
    await books.sealer.close("acme", "review-7")
    await sealed(books, seconds=10)
    await books.send(ASpan())
    [part] = await sealed(books, seconds=10)
    assert part["session"]["part"] == 2


async def test_two_departments_in_one_session_get_a_receipt_each(books: OpenBooks) -> None:
    await books.send(ASpan(), ASpan.of({"p402.department": "sales"}), ASpan.of({"p402.department": None}))
    await books.sealer.catch_up()
    assert await books.sealer.close("acme", "review-7") == 3
    assert [receipt["department"] for receipt in await sealed(books, seconds=10)] == ["legal", "sales", None]


async def test_a_receipt_is_verified_no_deeper_than_its_least_verified_charge(books: OpenBooks) -> None:
    await books.send(ASpan(), bound_to=LEGAL)
    await sealed(books, hours=1)
    await books.send(ASpan(), bound_to=LEGAL)
    await books.send(ASpan(), bound_to=Attribution("acme"))
    await sealed(books, hours=1)
    await books.send(ASpan(), bound_to=LEGAL)
    await books.send(ASpan())
    await sealed(books, hours=1)
    verified = [entry["attribution"]["verified_through"] for entry in books.entries()]
    assert verified == ["department", "organisation", None]


async def test_a_session_with_more_rationales_than_a_receipt_holds_is_split(books: OpenBooks) -> None:
    await books.send(*(ASpan.of({"p402.decision.rationale": f"{number:04}".ljust(256, "é")}) for number in range(300)))
    books.clock.advance(hours=1)
    while await books.sealer.catch_up():
        pass
    parts = books.entries()
    assert len(parts) > 1
    assert [part["session"]["part"] for part in parts] == list(range(1, len(parts) + 1))
    assert sum(part["requests"] for part in parts) == 300
    assert max(rationale for part in parts for rationale in part["routing"]).startswith("0299")


async def test_one_session_that_cannot_be_sealed_does_not_hold_up_the_others(books: OpenBooks) -> None:
    spoilt, good = ASpan.of({"p402.session": "spoilt"}), ASpan.of({"p402.session": "good"})
    await books.send(spoilt)
    books.clock.advance(seconds=1)
    await books.send(good)
    await books.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE charges SET usage_source = 'spoilt' WHERE seq = 1")
    )
    assert len(await sealed(books, hours=1)) == 1
    await books.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE charges SET usage_source = 'provider' WHERE seq = 1")
    )
    assert len(await sealed(books)) == 1


async def test_more_sessions_than_are_sealed_together_that_cannot_be_do_not_hold_up_the_others(
    books: OpenBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "_SESSIONS_AT_ONCE", 2)
    await books.send(*(ASpan.of({"p402.session": f"spoilt-{number}"}) for number in range(3)))
    books.clock.advance(seconds=1)
    await books.send(ASpan.of({"p402.session": "good"}))
    books.kept.run("UPDATE charges SET usage_source = 'spoilt' WHERE seq <= 3")
    assert len(await sealed(books, hours=1)) == 1
    books.kept.run("UPDATE charges SET usage_source = 'provider'")
    assert (len(await sealed(books)), len(await sealed(books))) == (2, 1)


async def test_a_collector_with_another_key_seals_nothing_into_the_log(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_books(tmp_path, clock) as books:
        await books.send(ASpan())
        assert len(await sealed(books, hours=1)) == 1
    ours = (tmp_path / "log.pem").rename(tmp_path / "ours.pem")
    async with open_books(tmp_path, clock) as books:
        await books.send(ASpan())
        assert await sealed(books, hours=1) == []
        assert len(books.entries()) == 1
    ours.rename(tmp_path / "log.pem")
    async with open_books(tmp_path, clock) as books:
        assert len(await sealed(books)) == 1
        assert [entry["seq"] for entry in books.entries()] == [0, 1]


async def test_a_restart_between_following_and_sealing_repeats_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_books(tmp_path, clock) as books:
        await books.send(ASpan())
        await books.sealer.catch_up()
        await books.send(ASpan())
    async with open_books(tmp_path, clock) as books:
        clock.advance(hours=1)
        [receipt] = await books.sealer.catch_up()
        assert body(receipt)["requests"] == 2
    async with open_books(tmp_path, clock) as books:
        clock.advance(hours=1)
        assert await books.sealer.catch_up() == []


async def test_the_sealer_stops_even_when_it_is_woken_at_the_same_moment(books: OpenBooks) -> None:
    running = asyncio.create_task(books.sealer.run())
    async with asyncio.timeout(30):
        while not books.sealer._wake._waiters:  # noqa: ASYNC110 - nothing else tells that it waits
            await asyncio.sleep(0)
    books.sealer.wake()
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=30)
    running.cancel()
    assert done


async def test_two_sealers_at_once_make_one_receipt(books: OpenBooks) -> None:
    await books.send(ASpan())
    await books.sealer.catch_up()
    books.clock.advance(hours=1)
    [scope_id] = await books.sealer._store.due(books.clock.now(), 10)
    made = [await books.sealer._store.seal([scope_id], books.sealer._make_receipt, books.clock.now()) for _ in range(2)]
    assert [len(receipts) for receipts in made] == [1, 0]


async def test_the_log_is_unbroken_and_proves_every_receipt(books: OpenBooks) -> None:
    for number in range(11):
        await books.send(ASpan.of({"p402.session": f"s{number}"}), ASpan.of({"p402.organisation": "initech"}))
        await sealed(books, hours=1)
    entries = books.entries()
    assert [entry["seq"] for entry in entries] == list(range(11))
    bodies = [
        stored for (stored,) in books.rows("SELECT body FROM log_entries WHERE organisation = 'acme' ORDER BY seq")
    ]
    assert [entry["prev"] for entry in entries] == [NO_PREVIOUS.hex(), *(leaf_hash(it).hex() for it in bodies[:-1])]
    key = books.signers.signer("acme").verifier_key
    note = await books.database.read(lambda connection: latest_checkpoint(connection, "acme"))
    assert note is not None
    checkpoint = open_checkpoint(note, [key])
    assert (checkpoint.origin, checkpoint.size) == ("logs.example.com/org/acme", 11)

    def proved(connection: Connection) -> list[tuple[bytes, str]]:
        receipts = receipts_page(connection, "acme", NOBODY, -1, 100)
        return [(receipt.body, receipt_proof(connection, receipt)) for receipt in receipts]

    found = await books.database.read(proved)
    assert [stored for stored, _ in found] == bodies
    for stored, text in found:
        proof = parse_proof(text)
        assert open_checkpoint(proof.checkpoint, [key]) == checkpoint
        verify_inclusion(leaf_hash(stored), proof.index, checkpoint.size, proof.hashes, checkpoint.root)


async def test_the_metrics_know_of_open_sessions_and_receipts(books: OpenBooks) -> None:
    await books.send(ASpan(), ASpan.of({"p402.session": "other"}))
    await books.sealer.catch_up()
    assert "p402_sessions_open 2.0" in books.metrics.exposition().decode()
    await sealed(books, hours=1)
    exposition = books.metrics.exposition().decode()
    assert "p402_sessions_open 0.0" in exposition
    assert "p402_receipts_total 2.0" in exposition
