"""What a legal hold keeps from an erasure, and what becomes of it when the hold is released."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from p402.collector.privacy.holds import Held
from p402.collector.storage.erasure_rows import ErasureState
from p402.collector.storage.receipts import receipts_page
from p402.receipts import ReviewAction
from p402.vocabulary import Attribution
from support.personal import PersonalBooks, call, personal, tables_with

__all__ = ["personal"]

COST = 264_235_000  # nano-USD of one worked example


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
