"""Erasing a person: their names are in no table afterwards, sums are what they were, and every proof still holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from p402.collector.exports.ports import ExportFormat, ExportRequest
from p402.collector.exports.requests import request_value
from p402.collector.pipeline.records import Forwarded
from p402.collector.receiver.otlp_decode import decode_traces
from p402.collector.storage.driver import driver
from p402.collector.storage.erasure_rows import ErasureState
from p402.collector.storage.erasure_runs import ErasureRuns
from p402.collector.storage.forwards import keep_for_forwarding
from p402.vocabulary import Attribution
from support.otlp import request_of
from support.personal import (
    BASIS,
    PersonalBooks,
    call,
    chain_is_whole,
    files_with,
    personal,
    tables_with,
)

__all__ = ["personal"]

NOW = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)
COST = 264_235_000  # nano-USD of one worked example


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
