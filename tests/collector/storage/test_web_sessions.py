"""Sessions of people at the pages as they are kept: how they begin, what they are worth, and how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from p402.collector.access.roles import Person
from p402.collector.storage.keys import Keys
from p402.collector.storage.retention import RetentionRules, SqlRetention
from p402.collector.storage.suppressions import Suppressions
from p402.collector.storage.web_sessions import WebSessions
from p402.vocabulary import Attribution
from support.clock import CountingIds
from support.otlp import ASpan
from support.personal import PersonalBooks, personal_books, tables_with

IDLE, LONGEST = timedelta(hours=8), timedelta(hours=24)
ADA = Person(
    subject="sub-ada",
    known_as="ada.lovelace",
    name="Ada Byron",
    role="employee",
    bound_to=Attribution(organisation="acme", employee="ada.lovelace"),
)


@dataclass(frozen=True)
class House:
    """Sessions, the keys that they may stand for, and the books that they are about."""

    sessions: WebSessions
    keys: Keys
    personal: PersonalBooks

    def now(self, **later: float) -> datetime:
        return self.personal.books.clock.now() + timedelta(**later)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with personal_books(tmp_path) as personal:
        database, ids = personal.books.database, CountingIds()
        suppressions = Suppressions(personal.books.vault.keys)
        yield House(WebSessions(database, suppressions, ids, idle=IDLE, longest=LONGEST), Keys(database, ids), personal)


async def test_a_session_of_a_person_says_who_they_are_and_what_they_are_bound_to(house: House) -> None:
    token = await house.sessions.begin_for_person(ADA, house.now())
    found = await house.sessions.find(token, house.now())
    assert found is not None
    assert (found.key, found.role, found.known_as, found.name) == (None, "employee", "ada.lovelace", "Ada Byron")
    assert found.bound_to == ADA.bound_to
    [(actor, subject, action, detail)] = house.personal.books.rows("SELECT actor, subject, action, detail FROM audit")
    assert (actor, subject, action) == (found.id, found.id, "person.signed_in")
    assert json.loads(detail) == {"employee": "ada.lovelace", "role": "employee", "department": None}


async def test_a_session_of_a_key_is_worth_what_the_key_is_worth_and_ends_with_it(house: House) -> None:
    bound_to = Attribution(organisation="acme", department="legal")
    key, _ = await house.keys.create("legal's", frozenset({"spend:read"}), bound_to, house.now())
    token = await house.sessions.begin_for_key(key, house.now())
    found = await house.sessions.find(token, house.now())
    assert found is not None
    assert (found.key, found.name, found.bound_to, found.role) == (key, "legal's", bound_to, None)
    await house.keys.revoke(key.id, house.now())
    assert await house.sessions.find(token, house.now()) is None


async def test_the_token_is_not_in_the_database(house: House, tmp_path: Path) -> None:
    token = await house.sessions.begin_for_person(ADA, house.now())
    kept = await asyncio.to_thread(
        lambda: b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    )
    assert token.encode() not in kept
    assert tables_with(house.personal.books.kept, [token]) == {}


async def test_only_the_whole_token_finds_it(house: House) -> None:
    token = await house.sessions.begin_for_person(ADA, house.now())
    other = await house.sessions.begin_for_person(ADA, house.now())
    assert token != other
    for wrong in ("", token[:-1], token + "x", token.swapcase(), "\udcff"):
        assert await house.sessions.find(wrong, house.now()) is None


async def test_it_ends_at_sign_out_and_others_go_on(house: House) -> None:
    token = await house.sessions.begin_for_person(ADA, house.now())
    other = await house.sessions.begin_for_person(ADA, house.now())
    await house.sessions.end(token, house.now())
    await house.sessions.end("unknown", house.now())
    assert await house.sessions.find(token, house.now()) is None
    assert await house.sessions.find(other, house.now()) is not None


async def test_it_ends_when_it_is_not_used_and_use_keeps_it_alive_up_to_its_age(house: House) -> None:
    token = await house.sessions.begin_for_person(ADA, house.now())
    assert await house.sessions.find(token, house.now(hours=8), use=False) is None
    for hours in (7.9, 15.8, 23.7):
        assert await house.sessions.find(token, house.now(hours=hours)) is not None
    assert await house.sessions.find(token, house.now(hours=23.99)) is not None
    assert await house.sessions.find(token, house.now(hours=24)) is None


async def test_a_page_that_refreshes_itself_is_no_use(house: House) -> None:
    token = await house.sessions.begin_for_person(ADA, house.now())
    assert await house.sessions.find(token, house.now(hours=7.9), use=False) is not None
    assert await house.sessions.find(token, house.now(hours=8.1)) is None


async def test_use_is_noted_once_a_minute(house: House) -> None:
    token = await house.sessions.begin_for_person(ADA, house.now())
    noted = "SELECT used_at - created_at FROM web_sessions"
    await house.sessions.find(token, house.now(seconds=59))
    assert house.personal.books.rows(noted) == [(0,)]
    await house.sessions.find(token, house.now(seconds=60))
    assert house.personal.books.rows(noted) == [(60_000,)]


@pytest.mark.parametrize("name", ["ada.lovelace", "sub-ada"], ids=["as an employee", "as a subject"])
async def test_an_erased_person_is_signed_out_and_named_nowhere(house: House, name: str) -> None:
    token = await house.sessions.begin_for_person(ADA, house.now())
    bob = await house.sessions.begin_for_person(
        replace(ADA, subject="sub-bob", known_as="bob", name="Bob", bound_to=Attribution("acme", employee="bob")),
        house.now(),
    )
    await house.personal.sealed(ASpan.of({"p402.employee": "ada.lovelace", "p402.session": "a.1"}))
    erasure = await house.personal.erase(name)
    assert await house.sessions.find(token, house.now()) is None
    assert await house.sessions.find(bob, house.now()) is not None
    rows = house.personal.books.rows("SELECT subject, known_as, name, employee FROM web_sessions WHERE ended_at > 0")
    assert rows == [(erasure.pseudonym,) * 4]
    assert tables_with(house.personal.books.kept, [name, "Ada Byron"]) == {}


async def test_the_sessions_of_an_erased_persons_key_end(house: House) -> None:
    bound_to = Attribution(organisation="acme", employee="ada.lovelace")
    key, _ = await house.keys.create("of ada.lovelace", frozenset({"spend:read"}), bound_to, house.now())
    token = await house.sessions.begin_for_key(key, house.now())
    await house.personal.erase("ada.lovelace")
    assert await house.sessions.find(token, house.now()) is None
    assert tables_with(house.personal.books.kept, ["ada.lovelace"]) == {}


async def test_an_erased_person_who_signs_in_again_is_their_pseudonym(house: House) -> None:
    erasure = await house.personal.erase("ada.lovelace")
    token = await house.sessions.begin_for_person(ADA, house.now())
    found = await house.sessions.find(token, house.now())
    assert found is not None
    assert (found.known_as, found.name, found.bound_to.employee) == (erasure.pseudonym,) * 3
    assert tables_with(house.personal.books.kept, ["ada.lovelace", "sub-ada", "Ada Byron"]) == {}


async def test_the_erasure_of_one_organisation_leaves_another_alone(house: House) -> None:
    elsewhere = replace(ADA, bound_to=Attribution(organisation="initech", employee="ada.lovelace"))
    token = await house.sessions.begin_for_person(elsewhere, house.now())
    await house.personal.erase("ada.lovelace")
    assert await house.sessions.find(token, house.now()) is not None


async def test_what_is_over_for_long_is_deleted(house: House) -> None:
    books = house.personal.books
    rules = RetentionRules(disclosures=None, receipts=None, operations=timedelta(days=90))
    retention = SqlRetention(books.database, books.vault, books.signers, rules, CountingIds())
    await house.sessions.begin_for_person(ADA, house.now())
    for days, left in ((90, 1), (92, 0)):
        while await retention.prune_some(house.now(days=days)):
            pass
        assert books.value("SELECT COUNT(*) FROM web_sessions") == left
