"""Erasing a person: their names are in no table afterwards, sums are what they were, and every proof still holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from p402.collector.exports.ports import ExportFormat, ExportRequest
from p402.collector.exports.requests import request_value
from p402.collector.pipeline.records import Forwarded
from p402.collector.privacy.holds import Held
from p402.collector.receiver.otlp_decode import decode_traces
from p402.collector.storage.driver import driver
from p402.collector.storage.erasure_people import people_of
from p402.collector.storage.erasure_rows import ErasureState
from p402.collector.storage.erasure_runs import ErasureRuns
from p402.collector.storage.forwards import keep_for_forwarding
from p402.collector.storage.receipts import receipts_page
from p402.receipts import ReviewAction, leaf_hash
from p402.vocabulary import Attribution
from support.otlp import ASpan, request_of
from support.personal import BASIS, PersonalBooks, files_with, personal_books, tables_with

NOW = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)
COST = 264_235_000  # nano-USD of one worked example


@pytest.fixture
async def personal(tmp_path: Path) -> AsyncIterator[PersonalBooks]:
    async with personal_books(tmp_path) as books:
        yield books


def call(employee: str | None, session: str | None, **levels: str) -> ASpan:
    named = {f"p402.{level}": value for level, value in levels.items()}
    return ASpan.of({"p402.employee": employee, "p402.session": session, **named})


def chain_is_whole(entries: list[dict[str, Any]], rows: list[tuple[Any, ...]]) -> bool:
    """Whether each entry names the leaf hash of the one before it."""
    leaves = [leaf_hash(bytes(body)).hex() for (body,) in rows]
    return [entry["prev"] for entry in entries] == ["0" * 64, *leaves[:-1]]


async def test_the_names_of_an_erased_person_are_in_no_table(personal: PersonalBooks) -> None:
    names = ["ada.lovelace", "Ada's review über Böhm", "ada.2"]
    await personal.sealed(call("ada.lovelace", names[1]), call("ada.lovelace", "ada.2"), call("bob", "bobs"))
    assert set(tables_with(personal.books.kept, names)["ada.lovelace"]) >= {"scopes", "spend_hourly"}
    erasure = await personal.erase("ada.lovelace")
    assert tables_with(personal.books.kept, names) == {}
    assert (erasure.state, erasure.erased, erasure.held_back) == (ErasureState.DONE, 4, 0)
    assert "bob" in tables_with(personal.books.kept, ["bob"])


async def test_no_file_keeps_the_names_either(personal: PersonalBooks, tmp_path: Path) -> None:
    names = ["ada.lovelace", "ada.2"]
    for number in range(50):
        await personal.sealed(call("ada.lovelace", "ada.2", project=f"p-{number}"))
    assert personal.books.kept.kind != "sqlite" or files_with(tmp_path, names)
    await personal.erase("ada.lovelace")
    assert files_with(tmp_path, names) == {}


async def test_sums_stay_at_every_node_and_in_total(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"), call("ada.l", "a.1"), call("ada.l", None), call("bob", "b.1"))
    erasure = await personal.erase("ada.l")
    assert personal.spend("employee") == {erasure.pseudonym: 3 * COST, "bob": COST}
    assert sorted(personal.spend("session").values()) == [COST, COST, 2 * COST]
    assert personal.spend("organisation") == {"acme": 4 * COST}


async def test_the_log_says_which_disclosures_are_gone_and_nothing_else_of_it_changes(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"), call("bob", "b.1"))
    before = personal.books.rows("SELECT seq, body FROM log_entries ORDER BY seq")
    await personal.erase("ada.l")
    entries = personal.books.entries()
    assert personal.books.rows("SELECT seq, body FROM log_entries ORDER BY seq")[: len(before)] == before
    [receipt] = [entry for entry in entries[:2] if set(entry["_sd"]) & set(entries[-1]["digests"])]
    assert entries[-1]["type"] == "erasure"
    assert entries[-1]["digests"] == sorted(receipt["_sd"])
    assert (entries[-1]["legal_basis"], entries[-1]["held_back"]) == ("GDPR Art. 17(1)(b)", 0)
    assert chain_is_whole(entries, personal.books.rows("SELECT body FROM log_entries ORDER BY seq"))


async def test_the_data_key_is_gone_so_that_not_even_a_copy_of_the_vault_can_be_opened(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"))
    assert personal.books.value("SELECT COUNT(*) FROM vault") == 2
    await personal.erase("ada.l")
    assert personal.books.value("SELECT COUNT(*) FROM vault WHERE name <> 'by'") == 0
    assert personal.books.value("SELECT COUNT(*) FROM subjects") == 1, "only that of whoever asked for the erasure"


async def test_late_calls_come_under_the_pseudonym(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"))
    erasure = await personal.erase("ada.l")
    await personal.sealed(call("ada.l", "a.1"), call("ada.l", "brand.new one"), call(None, "a.1"), call("bob", "a.1"))
    assert tables_with(personal.books.kept, ["ada.l", "brand.new one"]) == {}
    assert personal.spend("employee") == {erasure.pseudonym: 3 * COST, "bob": COST, "": COST}
    [session] = personal.books.rows("SELECT DISTINCT session FROM scopes WHERE employee = ''")
    assert session in personal.books.rows(f"SELECT session FROM scopes WHERE employee = '{erasure.pseudonym}'")


async def test_a_session_name_that_others_use_too_stays_theirs(personal: PersonalBooks) -> None:
    shared = [call(who, "stand-up") for who in ("ada.l", "bob", None)]
    await personal.sealed(*shared, call("ada.l", "ada's own."))
    await personal.erase("ada.l")
    assert tables_with(personal.books.kept, ["ada.l"]) == {}
    assert personal.spend("session")["stand-up"] == 2 * COST
    assert personal.books.rows("SELECT employee FROM scopes WHERE session = 'stand-up' ORDER BY employee") == [
        ("",),
        ("bob",),
    ]
    await personal.sealed(call("bob", "stand-up"))
    assert personal.spend("session")["stand-up"] == 3 * COST


async def test_a_session_without_an_employee_that_has_the_name_of_one_of_theirs_is_erased_with_it(
    personal: PersonalBooks,
) -> None:
    await personal.sealed(call("ada.l", "a.1"), call(None, "a.1", project="other"))
    erasure = await personal.erase("ada.l")
    assert erasure.erased == 3
    assert tables_with(personal.books.kept, ["a.1"]) == {}
    assert personal.spend("employee") == {erasure.pseudonym: COST, "": COST}


async def test_what_comes_before_the_receipt_is_erased_is_in_it_under_the_pseudonym(personal: PersonalBooks) -> None:
    await personal.books.send(call("ada.l", "a.1"))
    erasure = await personal.erase("ada.l")
    await personal.sealed()
    [receipt] = [entry for entry in personal.books.entries() if entry["type"] == "session-receipt"]
    opened = await personal.books.database.read(
        lambda connection: personal.books.vault.values(connection, "acme", [receipt["seq"]])
    )
    assert opened[receipt["seq"]]["employee"] == erasure.pseudonym


async def test_erasing_somebody_who_never_was_is_noted_and_holds_for_later(personal: PersonalBooks) -> None:
    erasure = await personal.erase("nobody-yet")
    assert (erasure.state, erasure.erased) == (ErasureState.DONE, 0)
    await personal.sealed(call("nobody-yet", "s"))
    assert personal.spend("employee") == {erasure.pseudonym: COST}


async def test_erasing_twice_is_one_erasure(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"))
    first, second = await personal.erase("ada.l"), await personal.erase("ada.l")
    assert (first.id, first.pseudonym, first.erased) == (second.id, second.pseudonym, second.erased)
    assert [entry["type"] for entry in personal.books.entries()].count("erasure") == 1


async def test_more_digests_than_an_entry_holds_make_several_parts(
    personal: PersonalBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p402.collector.storage.erasure_entries.MAX_ERASED_DIGESTS", 3)
    await personal.sealed(*(call("ada.l", f"a.{number}") for number in range(4)))
    await personal.erase("ada.l")
    parts = [entry for entry in personal.books.entries() if entry["type"] == "erasure"]
    assert [(part["part"], part["parts"], len(part["digests"])) for part in parts] == [(1, 3, 3), (2, 3, 3), (3, 3, 2)]
    assert len({digest for part in parts for digest in part["digests"]}) == 8


async def test_spans_that_wait_for_a_viewer_lose_the_names_too(personal: PersonalBooks) -> None:
    for span in (call("ada.l", "a.1"), call("bob", "b.1")):
        waiting = Forwarded(request_of([span]), 1)
        await personal.books.database.write(lambda sql, body=waiting: keep_for_forwarding(driver(sql), body, NOW))  # type: ignore[misc]
    await personal.sealed(call("ada.l", "a.1"))
    await personal.erase("ada.l")
    assert tables_with(personal.books.kept, ["ada.l", "a.1"]) == {}
    late = decode_traces(body := request_of([call("ada.l", "a.1")])).spans
    await personal.books.ingest.ingest(late, Attribution(), None, Forwarded(body, 1))
    assert tables_with(personal.books.kept, ["ada.l", "a.1"]) == {}
    assert tables_with(personal.books.kept, ["b.1"]) == {"b.1": ["forward_batches"]}


async def test_exports_that_disclose_people_expire(personal: PersonalBooks) -> None:
    for number, discloses in enumerate((0, 1)):
        disclose = ("employee",) if discloses else ()
        request = request_value(ExportRequest(format=ExportFormat.CSV, within=Attribution("acme"), disclose=disclose))
        personal.books.kept.run(
            "INSERT INTO exports (id, organisation, request, discloses, state, created_at, charges_through, log_size, total,"
            f" progress, files) VALUES ('exp_{number}', 'acme', '{json.dumps(request)}', {discloses}, 'done', 0, 0, 0, 0,"
            " '{}', '[]')"
        )
    await personal.erase("ada.l")
    assert personal.books.rows("SELECT state FROM exports ORDER BY id") == [("done",), ("expired",)]


# --- what is others'


async def written_about(personal: PersonalBooks, employee: str, session: str, key: str) -> None:
    """A lease, a decision and an event about somebody."""
    levels = json.dumps({"employee": employee, "session": session})
    payload = json.dumps({"employee": employee, "session": session, "summary": f"A call of {session}, a legal hold."})
    for statement in (
        (
            "INSERT INTO leases (id, kind, state, key_id, organisation, attribution, calls, opened_at, expires_at, changed_at)"
            f" VALUES ('{key}', 'lease', 'open', '', 'acme', '{levels}', 0, 0, 0, 0)"
        ),
        (
            "INSERT INTO decisions (id, organisation, key_id, idempotency_key, decided_at, question, verdict, code, rationale,"
            f" model) VALUES ('{key}', 'acme', '{key}', '{session}', 0, '{levels}', 'allow', 'ok', 'About {session}.', 'm')"
        ),
        (
            "INSERT INTO events (id, organisation, type, dedupe_key, payload, at)"
            f" VALUES ('{key}', 'acme', 't', '{key}', '{payload}', 0)"
        ),
    ):
        personal.books.kept.run(statement)


def written_with(personal: PersonalBooks, key: str) -> str:
    return json.dumps(
        [
            personal.books.rows(f"SELECT {columns} FROM {table} WHERE id = '{key}'")
            for table, columns in (
                ("leases", "attribution"),
                ("decisions", "question, rationale, idempotency_key"),
                ("events", "payload"),
            )
        ]
    )


async def test_what_is_written_about_others_who_use_a_session_of_that_name_stays(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "stand-up"), call("bob", "stand-up"))
    await written_about(personal, "ada.l", "stand-up", "x_1")
    await written_about(personal, "bob", "stand-up", "x_2")
    for span in (call("ada.l", "stand-up"), call("bob", "stand-up")):
        waiting = Forwarded(request_of([span]), 1)
        await personal.books.database.write(lambda sql, body=waiting: keep_for_forwarding(driver(sql), body, NOW))  # type: ignore[misc]
    before = written_with(personal, "x_2")
    erasure = await personal.erase("ada.l")
    assert written_with(personal, "x_2") == before
    assert "stand-up" not in (hers := written_with(personal, "x_1"))
    assert erasure.pseudonym in hers
    [(of_ada,), (of_bob,)] = personal.books.rows("SELECT body FROM forward_batches ORDER BY seq")
    assert b"stand-up" not in bytes(of_ada)
    assert (b"stand-up" in bytes(of_bob), b"bob" in bytes(of_bob)) == (True, True)


async def test_a_session_that_is_called_like_a_word_is_not_taken_out_of_sentences_about_others(
    personal: PersonalBooks,
) -> None:
    await personal.sealed(call("ada.l", "legal"), call("bob", "b.1"))
    await written_about(personal, "ada.l", "legal", "x_1")
    await written_about(personal, "bob", "b.1", "x_2")
    before = written_with(personal, "x_2")
    await personal.erase("ada.l")
    assert written_with(personal, "x_2") == before
    assert "legal" not in written_with(personal, "x_1")


async def test_late_spans_that_are_no_calls_are_sent_on_without_names(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"), call("bob", "a.2"), call("ada.l", "a.2"))
    await personal.erase("ada.l")
    root = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.usage.input_tokens": None,
        "gen_ai.usage.output_tokens": None,
    }
    silent = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    for extra in (root, silent):
        span = ASpan.of({"p402.employee": "ada.l", "p402.session": "a.1", **extra})
        bobs = ASpan.of({"p402.employee": "bob", "p402.session": "a.2", **extra})
        ours = ASpan.of({"p402.employee": "ada.l", "p402.session": "a.2", **extra})
        body = request_of([span, bobs, ours])
        await personal.books.ingest.ingest(decode_traces(body).spans, Attribution(), None, Forwarded(body, 3))
    assert personal.books.value("SELECT COUNT(*) FROM set_aside WHERE reason = 'no_usage'") == 3
    assert tables_with(personal.books.kept, ["ada.l", "a.1"]) == {}
    for (body,) in personal.books.rows("SELECT body FROM forward_batches"):
        assert (bytes(body).count(b"a.2"), bytes(body).count(b"bob")) == (1, 1)


def reconciled(personal: PersonalBooks, keys: dict[str, dict[str, str]]) -> None:
    personal.books.kept.run(
        'INSERT INTO reconciliations (id, organisation, provider, "begin", "end", time_zone, keys, documents, totals, "rows",'
        f" created_at, created_by) VALUES ('rec_1', 'acme', 'openai', '', '', 'UTC', '{json.dumps(keys)}', '[]', '{{}}', '[]',"
        " 0, '')"
    )


async def test_names_go_from_what_was_reconciled_too(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"))
    reconciled(personal, {"key-1": {"organisation": "acme", "employee": "ada.l"}, "key-2": {"employee": "bob"}})
    erasure = await personal.erase("ada.l")
    [(keys,)] = personal.books.rows("SELECT keys FROM reconciliations")
    assert json.loads(keys) == {
        "key-1": {"organisation": "acme", "employee": erasure.pseudonym},
        "key-2": {"employee": "bob"},
    }


async def test_people_who_are_named_in_rules_events_and_comparisons_only_are_found(personal: PersonalBooks) -> None:
    budget = json.dumps({"level": "department", "node": "legal", "owner": "in.budget"})
    policy = json.dumps({"rules": [{"within": {"employee": "in.policy"}}]})
    event = json.dumps({"level": "employee", "node": "in.event", "detail": {"employee": {"before": "was.in.event"}}})
    for statement in (
        (
            "INSERT INTO budgets (id, organisation, name, definition, made_at, changed_at)"
            f" VALUES (7, 'acme', 'b', '{budget}', 0, 0)"
        ),
        (
            "INSERT INTO overrides (id, budget_id, amount, owner, reason, created_at, expires_at)"
            " VALUES ('ovr_1', 7, 1, 'in.override', '', 0, 0)"
        ),
        (
            "INSERT INTO policies (organisation, department, version, definition, created_at)"
            f" VALUES ('acme', '', 1, '{policy}', 0)"
        ),
        f"INSERT INTO events (id, organisation, type, dedupe_key, payload, at) VALUES ('e', 'acme', 't', 'k', '{event}', 0)",
    ):
        personal.books.kept.run(statement)
    reconciled(personal, {"key-1": {"employee": "in.comparison"}})
    await written_about(personal, "in.lease", "s", "x_1")
    found = await personal.books.database.read(lambda connection: people_of(connection, "acme"))
    named = {"in.budget", "in.override", "in.policy", "in.event", "was.in.event", "in.comparison", "in.lease"}
    assert named <= found
    assert await personal.books.database.read(lambda connection: people_of(connection, "initech")) == set()


async def test_closing_a_session_closes_the_erased_ones_and_those_of_others_who_took_the_name(
    personal: PersonalBooks,
) -> None:
    await personal.sealed(call("ada.l", "daily"))
    await personal.erase("ada.l")
    assert await personal.books.sealer.close("acme", "daily") == 0
    assert tables_with(personal.books.kept, ["daily"]) == {}, "nobody has a session of that name"
    await personal.books.send(call("bob", "daily"), call("ada.l", "daily"))
    await personal.books.sealer.catch_up()
    assert await personal.books.sealer.close("acme", "daily") == 2
    closed = {name for (name,) in personal.books.rows("SELECT session FROM closings")}
    assert closed == {name for (name,) in personal.books.rows("SELECT session FROM scopes")}


# --- holds


async def test_a_hold_on_the_person_refuses_with_its_matter(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1"))
    await personal.hold(employee="ada.l")
    with pytest.raises(Held, match="doe-v-acme"):
        await personal.erase("ada.l")
    assert personal.books.value("SELECT COUNT(*) FROM erasures") == 0
    assert "ada.l" in tables_with(personal.books.kept, ["ada.l"])


async def test_a_hold_over_all_that_there_is_refuses_too(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1", project="tender"))
    await personal.hold(project="tender")
    with pytest.raises(Held, match="doe-v-acme"):
        await personal.erase("ada.l")


async def test_what_is_not_held_is_erased_and_the_rest_when_the_hold_is_released(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "held.1", project="tender"), call("ada.l", "free.1", project="other"))
    hold = await personal.hold(project="tender")
    erasure = await personal.erase("ada.l")
    assert (erasure.state, erasure.erased, erasure.held_back) == (ErasureState.HELD, 2, 2)
    assert erasure.matters == ("doe-v-acme",)
    assert tables_with(personal.books.kept, ["free.1"]) == {}
    assert personal.spend("employee") == {"ada.l": COST, erasure.pseudonym: COST}
    held = personal.books.rows("SELECT employee, session FROM scopes WHERE project = 'tender'")
    assert held == [("ada.l", "held.1")]
    await personal.release(hold)
    assert tables_with(personal.books.kept, ["ada.l", "held.1", "free.1"]) == {}
    assert personal.spend("employee") == {erasure.pseudonym: 2 * COST}
    assert personal.books.rows("SELECT state, erased, held_back FROM erasures") == [("done", 4, 0)]


async def test_an_erasure_that_is_held_since_people_were_looked_up_is_completed_too(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "held.1", project="tender"), call("ada.l", "free.1"))
    hold = await personal.hold(project="tender")
    before = await personal.erasures.held_people("acme")
    await personal.erase("ada.l")
    now = personal.books.clock.now()

    def change(connection: Connection) -> int:
        personal.holds.release(connection, "acme", hold.hold.id, "counsel", None, now)
        return personal.erasures.complete(connection, "acme", before, now)

    assert before == {}
    assert await personal.books.database.write(change) == 1
    await personal.erasures.catch_up()
    assert tables_with(personal.books.kept, ["ada.l", "held.1"]) == {}


async def test_late_calls_of_a_held_session_do_not_stand_in_the_way_of_its_erasure(personal: PersonalBooks) -> None:
    await personal.sealed(
        call("ada.l", "held.1", project="tender"), call("ada.l", "free.1"), call("ada.l", None, project="tender")
    )
    hold = await personal.hold(project="tender")
    erasure = await personal.erase("ada.l")
    await personal.sealed(call("ada.l", "held.1", project="tender"), call("ada.l", None, project="tender"))
    await personal.release(hold)
    assert tables_with(personal.books.kept, ["ada.l", "held.1", "free.1"]) == {}
    assert sum(personal.spend("employee").values()) == sum(personal.spend("session").values()) == 5 * COST
    assert personal.spend("employee")[erasure.pseudonym] >= 4 * COST


async def test_what_a_reviewer_did_about_a_held_session_is_held_with_it(personal: PersonalBooks) -> None:
    await personal.sealed(call("ada.l", "a.1", project="tender"))
    now, approved = personal.books.clock.now(), ReviewAction.APPROVED

    def review(connection: Connection) -> None:
        [receipt] = receipts_page(connection, "acme", Attribution(), -1, 1)
        personal.reviews.add(connection, receipt, approved, "rev.iewer", "Fine.", None, now)

    await personal.books.database.write(review)
    hold = await personal.hold(project="tender")
    erasure = await personal.erase("rev.iewer")
    assert (erasure.state, erasure.held_back, erasure.matters) == (ErasureState.HELD, 1, ("doe-v-acme",))
    assert personal.books.value("SELECT COUNT(*) FROM vault WHERE name = 'reviewer'") == 1
    await personal.release(hold)
    assert personal.books.rows("SELECT state, erased, held_back FROM erasures") == [("done", 1, 0)]
    assert personal.books.value("SELECT COUNT(*) FROM vault WHERE name = 'reviewer'") == 0


@pytest.mark.parametrize(("days", "held"), [(-1, False), (0, True)])
async def test_a_hold_may_be_about_a_time(personal: PersonalBooks, *, days: int, held: bool) -> None:
    await personal.sealed(call("ada.l", "a.1"))
    began = datetime(2026, 5, 15, tzinfo=UTC) + timedelta(days=days)
    await personal.hold(begin=began, end=began + timedelta(days=1))
    if held:
        with pytest.raises(Held):
            await personal.erase("ada.l")
    else:
        assert (await personal.erase("ada.l")).state is ErasureState.DONE


async def test_the_log_says_that_a_hold_was_placed_and_released_without_names(personal: PersonalBooks) -> None:
    hold = await personal.hold(employee="ada.l", project="tender")
    await personal.release(hold)
    placed, released = (entry for entry in personal.books.entries() if entry["type"] == "hold")
    assert (placed["action"], released["action"]) == ("placed", "released")
    assert placed["matter"] == "doe-v-acme"
    assert placed["scope"] == released["scope"] == {
        "organisation": "acme", "department": None, "project": "tender", "client": None, "from": None, "to": None,
    }  # fmt: skip
    assert "ada.l" not in json.dumps([placed, released])
    assert "ada.l" not in tables_with(personal.books.kept, ["ada.l"])


# --- the list beside the database


async def test_the_list_beside_the_database_holds_no_names(personal: PersonalBooks, tmp_path: Path) -> None:
    await personal.sealed(call("ada.l", "ada's session"))
    await personal.erase("ada.l")
    text = (tmp_path / "erasures" / "suppressed.jsonl").read_text()
    assert len(text.splitlines()) == 2
    assert "ada.l" not in text


async def test_a_collector_learns_the_list_from_the_database(personal: PersonalBooks, tmp_path: Path) -> None:
    await personal.sealed(call("ada.l", "a.1"))
    await personal.erase("ada.l")
    list_ = tmp_path / "erasures" / "suppressed.jsonl"
    before = [json.loads(line)["place"] for line in list_.read_text().splitlines()]
    list_.unlink()
    await personal.erasures.write_missing_lines()
    assert sorted(json.loads(line)["place"] for line in list_.read_text().splitlines()) == sorted(before)


# --- freed pages


class Busy:
    """A database whose write-ahead log a reader is in."""

    def __init__(self) -> None:
        self.rewritten = self.asked = 0
        self.free = False

    def rewrite(self) -> bool:
        self.rewritten += 1
        return True

    def empty_log(self) -> bool:
        self.asked += 1
        return self.free


async def test_a_log_that_cannot_be_emptied_is_tried_again_later_and_later_without_a_rewrite(
    personal: PersonalBooks,
) -> None:
    busy = Busy()
    runs = ErasureRuns(personal.books.database, personal.changes, busy, personal.books.clock)
    await runs.erase("acme", "ada.l", BASIS, "dpo", None)
    for seconds, asked in ((0, 1), (59, 1), (1, 2), (60, 2), (60, 3), (239, 3)):
        personal.books.clock.advance(seconds=seconds)
        await runs.catch_up()
        assert (busy.asked, busy.rewritten) == (asked, 1)
    await runs.erase("acme", "bob", BASIS, "dpo", None)
    assert (busy.asked, busy.rewritten) == (4, 2), "what was freed since is another matter"
    busy.free = True
    personal.books.clock.advance(seconds=60)
    await runs.catch_up()
    assert personal.books.value("SELECT COUNT(*) FROM erasures WHERE scrubbed_at IS NULL") == 0
    assert (busy.asked, busy.rewritten) == (5, 2)
