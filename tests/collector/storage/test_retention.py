"""What is kept for a while only: deleted when its time is over, unless a legal hold keeps it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from p402.collector.storage.retention import RetentionRules, SqlRetention
from support.clock import CountingIds
from support.directory import import_csv, listed, people_csv
from support.otlp import ASpan
from support.personal import PersonalBooks, personal_books

DAYS = {"disclosures": 30, "receipts": 3000, "operations": 90}
WHOSE = {"organisation": "acme", "department": "legal", "project": "tender"}


@pytest.fixture
async def personal(tmp_path: Path) -> AsyncIterator[PersonalBooks]:
    async with personal_books(tmp_path) as books:
        yield books


async def prune(personal: PersonalBooks, **days: int | None) -> None:
    """Make one pass."""
    kept = {name: None if count is None else timedelta(days=count) for name, count in {**DAYS, **days}.items()}
    rules = RetentionRules(
        disclosures=kept["disclosures"],
        receipts=kept["receipts"],
        operations=timedelta(days=days.get("operations") or 90),
    )
    books = personal.books
    retention = SqlRetention(books.database, books.vault, books.signers, rules, CountingIds())
    while await retention.prune_some(books.clock.now()):
        pass


def operations(personal: PersonalBooks, number: int, *, state: str = "closed", project: str = "tender") -> None:
    """A lease, its hold and decision, and an event with its delivery, as they are long afterwards."""
    now = int(personal.books.clock.now().timestamp() * 1000)
    levels = json.dumps({**WHOSE, "project": project})
    question = json.dumps({**WHOSE, "project": project, "provider": "openai", "model": "gpt-4o"})
    personal.books.kept.run(
        "INSERT INTO budgets (id, organisation, name, definition, made_at, changed_at)"
        f" VALUES ({number}, 'acme', 'b-{number}', '{{\"level\": \"project\"}}', 0, 0)",
        "INSERT INTO leases (id, kind, state, key_id, organisation, attribution, calls, opened_at, expires_at, changed_at)"
        f" VALUES ('lease_{number}', 'lease', '{state}', '', 'acme', '{levels}', 1, {now}, {now}, {now})",
        "INSERT INTO lease_holds (lease_id, budget_id, node, period_start, remaining)"
        f" VALUES ('lease_{number}', {number}, '{project}', 0, 0)",
        "INSERT INTO decisions (id, organisation, key_id, decided_at, question, verdict, code, rationale, model, lease_id)"
        f" VALUES ('dec_{number}', 'acme', '', {now}, '{question}', 'allow', 'ok', '', 'gpt-4o', 'lease_{number}')",
        "INSERT INTO events (seq, id, organisation, type, dedupe_key, payload, at, spread_at)"
        f" VALUES ({1000 + number}, 'evt_{number}', 'acme', 'anomaly.detected', 'k-{number}', '{levels}', {now}, {now})",
        "INSERT INTO deliveries (event_seq, channel, state, attempts, tries_left, due_at, claimed_until)"
        f" VALUES ({1000 + number}, 'ops', '{'pending' if state == 'open' else 'delivered'}', 1, 0, 0, 0)",
    )


def left(personal: PersonalBooks) -> dict[str, int]:
    tables = ("leases", "lease_holds", "decisions", "events", "deliveries")
    return {table: personal.books.value(f"SELECT COUNT(*) FROM {table}") for table in tables}


async def test_closed_leases_decisions_and_delivered_events_go_when_their_time_is_over(personal: PersonalBooks) -> None:
    operations(personal, 1)
    personal.books.clock.advance(days=89)
    operations(personal, 2)
    await prune(personal)
    assert set(left(personal).values()) == {2}
    personal.books.clock.advance(days=2)
    await prune(personal)
    assert set(left(personal).values()) == {1}
    assert personal.books.rows("SELECT id FROM decisions") == [("dec_2",)]


async def test_what_is_open_or_not_yet_delivered_stays_however_old(personal: PersonalBooks) -> None:
    operations(personal, 1, state="open")
    personal.books.clock.advance(days=1000)
    await prune(personal)
    assert left(personal) == {"leases": 1, "lease_holds": 1, "decisions": 0, "events": 1, "deliveries": 1}


async def test_a_hold_stops_it_until_it_is_released(personal: PersonalBooks) -> None:
    operations(personal, 1)
    operations(personal, 2, project="kitchen")
    hold = await personal.hold(project="tender")
    personal.books.kept.run("DELETE FROM events WHERE type <> 'anomaly.detected'")
    personal.books.clock.advance(days=100)
    await prune(personal)
    assert personal.books.rows("SELECT id FROM leases") == [("lease_1",)]
    assert set(left(personal).values()) == {1}
    await personal.release(hold)
    await prune(personal)
    assert personal.books.value("SELECT COUNT(*) FROM leases") == 0


async def test_disclosures_go_and_the_log_says_which(personal: PersonalBooks) -> None:
    await personal.sealed(ASpan())
    personal.books.clock.advance(days=29)
    await prune(personal)
    assert personal.books.value("SELECT COUNT(*) FROM vault") == 2
    personal.books.clock.advance(days=2)
    await prune(personal)
    assert personal.books.value("SELECT COUNT(*) FROM vault") == 0
    assert personal.books.value("SELECT COUNT(*) FROM subjects") == 0
    receipt, erasure = personal.books.entries()
    assert (erasure["type"], erasure["digests"], erasure["_sd"]) == ("erasure", receipt["_sd"], [])
    assert erasure["legal_basis"] == "retention of 30 days"
    await prune(personal)
    assert len(personal.books.entries()) == 2, "what is gone is said once"


async def test_disclosures_are_kept_unless_somebody_sets_a_time(personal: PersonalBooks) -> None:
    await personal.sealed(ASpan())
    personal.books.clock.advance(days=2000)
    await prune(personal, disclosures=None, receipts=None)
    assert personal.books.value("SELECT COUNT(*) FROM vault") == 2


async def test_held_receipts_keep_their_disclosures_and_bodies(personal: PersonalBooks) -> None:
    await personal.sealed(ASpan(), ASpan.of({"p402.project": "kitchen", "p402.session": "s-2"}))
    await personal.hold(employee="e-1042", project="contracts")
    personal.books.clock.advance(days=4000)
    await prune(personal)
    assert personal.books.rows("SELECT DISTINCT seq FROM vault WHERE name = 'session_id'") == [(0,)]
    assert personal.books.rows("SELECT seq FROM receipts") == [(0,)]


async def test_a_pruned_body_leaves_its_hash_and_every_other_proof(personal: PersonalBooks) -> None:
    await personal.sealed(ASpan())
    personal.books.clock.advance(days=2999)
    await personal.sealed(ASpan.of({"p402.session": "s-2"}))
    nodes = personal.books.rows("SELECT level, position, hash FROM log_nodes ORDER BY level, position")
    personal.books.clock.advance(days=2)
    await prune(personal, disclosures=None)
    bodies = dict(personal.books.rows("SELECT seq, body FROM log_entries"))
    assert bytes(bodies[0]) == b""
    assert json.loads(bodies[1])["type"] == "session-receipt"
    assert personal.books.rows("SELECT seq FROM receipts") == [(1,)]
    after = personal.books.rows("SELECT level, position, hash FROM log_nodes ORDER BY level, position")
    assert [node for node in after if node in nodes] == nodes


async def test_many_rows_are_deleted_window_by_window(personal: PersonalBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p402.collector.storage.retention._WINDOW", 2)
    for number in range(1, 6):
        operations(personal, number)
    personal.books.clock.advance(days=91)
    await prune(personal)
    assert set(left(personal).values()) == {0}


async def test_a_key_outlives_the_disclosures_under_it_while_the_directory_needs_it(personal: PersonalBooks) -> None:
    books = personal.books
    await import_csv(books, people_csv("e-1042,Ada Lovelace,legal"))
    await personal.sealed(ASpan())
    books.clock.advance(days=40)
    await prune(personal)
    assert books.value("SELECT COUNT(*) FROM vault") == 0
    assert await listed(books) == {"e-1042": ("Ada Lovelace", "legal")}
