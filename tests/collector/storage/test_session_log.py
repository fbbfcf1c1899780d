"""The log of sessions is what the charges say, in the order that is asked for, page by page, on both databases."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from p402.collector.storage import narrowing
from p402.collector.storage.calls import Place
from p402.collector.storage.charges import charges_page
from p402.collector.storage.session_log import LoggedSession, SessionFilter, session_log, sessions_called
from p402.collector.storage.usage import SqlUsage
from p402.collector.usage.slices import Dimension, Period
from p402.vocabulary import Attribution, Charge
from support.open_books import OpenBooks, open_books
from support.otlp import MAY_2026, ASpan

DAY_NS = 86_400_000_000_000
ACME = Attribution(organisation="acme")
MAY = Period(date(2026, 5, 1), date(2026, 5, 31))


def some_calls(count: int) -> list[ASpan]:
    """Calls of sessions of a few people, some of two organisations, some without a session, on several days."""
    chance = random.Random(7)
    return [
        ASpan.of(
            {
                "p402.organisation": chance.choice(["acme", "acme", "umbrella"]),
                "p402.department": chance.choice(["legal", "sales", None]),
                "p402.employee": chance.choice(["e-1", "e-2", None]),
                "p402.session": chance.choice(["s-1", "s-2", "t-1", "S-3", "s%1", None]),
                "gen_ai.response.model": chance.choice(["claude-opus-4-5", "claude-haiku-4-5", "nobody-knows-it"]),
                "gen_ai.usage.output_tokens": chance.randrange(10_000),
            },
            started_ns=MAY_2026 + chance.randrange(20) * DAY_NS + chance.randrange(1_000) * 1_000_000,
        )
        for _ in range(count)
    ]


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path) as opened:
        usage = SqlUsage(opened.database)
        for half in (some_calls(120)[:50], some_calls(120)[50:]):  # the same calls, but in two goes
            await opened.send(*half)
            while await usage.follow(30):
                pass
        await opened.sealer.catch_up()
        yield opened


async def charged(books: OpenBooks) -> dict[Attribution, list[Charge]]:
    """The charges of each session in May, by its owner."""
    found = await books.database.read(lambda connection: charges_page(connection, ACME, 0, 10_000))
    owners: dict[Attribution, list[Charge]] = defaultdict(list)
    for _, charge in found:
        if charge.attribution.session is not None:
            owners[charge.attribution].append(charge)
    return {owner: charges for owner, charges in owners.items() if max(it.started_at for it in charges).month == 5}


async def logged(
    books: OpenBooks, limit: int = 1_000, before: Place | None = None, **asked: object
) -> list[LoggedSession]:
    wanted = SessionFilter(**{"within": ACME, "period": MAY, **asked})  # type: ignore[arg-type]
    pages: list[LoggedSession] = []
    while found := await books.database.read(partial(session_log, asked=wanted, before=before, limit=limit)):
        pages += [session for _, session in found]
        before = found[-1][0]
    return pages


async def test_every_session_of_the_period_is_there_with_its_sums(books: OpenBooks) -> None:
    by_owner = await charged(books)
    found = {session.owner: session for session in await logged(books)}
    assert found.keys() == by_owner.keys()
    for owner, charges in by_owner.items():
        session = found[owner]
        assert session.cost.nano_usd == sum(it.cost.nano_usd for it in charges if it.cost)
        assert session.calls == len(charges)
        assert session.unpriced_calls == sum(it.cost is None for it in charges)
        assert session.input_tokens == sum(it.usage.input_tokens for it in charges)
        assert session.first_at == min(it.started_at for it in charges)
        assert session.last_at == max(it.started_at for it in charges)
        assert session.models == tuple(sorted({it.model for it in charges}))
        assert session.state == "open"


@pytest.mark.parametrize("most", [0, 20_000], ids=["by time or cost", "by owners"])
@pytest.mark.parametrize("dearest", [False, True], ids=["newest", "dearest"])
async def test_pages_have_the_order_that_is_asked_for_and_miss_nothing(
    books: OpenBooks, monkeypatch: pytest.MonkeyPatch, most: int, *, dearest: bool
) -> None:
    monkeypatch.setattr(narrowing, "MOST_ROWS", most)
    for only in ({}, {Dimension.DEPARTMENT: "legal"}, {Dimension.EMPLOYEE: ""}, {Dimension.MODEL: "claude-haiku-4-5"}):
        whole = await logged(books, dearest=dearest, only=only)
        keys = [session.cost.nano_usd if dearest else session.last_at for session in whole]
        assert keys == sorted(keys, reverse=True)
        assert await logged(books, limit=3, dearest=dearest, only=only) == whole
        wanted = {
            owner
            for owner, charges in (await charged(books)).items()
            if all((getattr(owner, name.value) or "") == value for name, value in only.items() if name.value != "model")
            and (Dimension.MODEL not in only or any(it.model == only[Dimension.MODEL] for it in charges))
        }
        assert {session.owner for session in whole} == wanted


async def test_ids_are_found_by_how_they_begin_letter_by_letter(books: OpenBooks) -> None:
    assert {session.owner.session for session in await logged(books, begins="s-")} == {"s-1", "s-2"}
    assert {session.owner.session for session in await logged(books, begins="s%")} == {"s%1"}
    assert await logged(books, begins="-1") == []


async def test_open_and_closed_sessions_are_told_apart_and_receipts_are_shown(books: OpenBooks) -> None:
    await books.sealer.close("acme", "s-1")
    books.clock.advance(seconds=60)
    await books.sealer.catch_up()
    closed, open_ = await logged(books, open_=False), await logged(books, open_=True)
    assert {session.owner.session for session in closed} == {"s-1"}
    assert "s-1" not in {session.owner.session for session in open_}
    assert all(session.state == "sealed" and len(session.receipts) == 1 for session in closed)


async def test_who_may_see_a_part_sees_the_sessions_of_that_part(books: OpenBooks) -> None:
    head = Attribution(organisation="acme", department="legal")
    assert {session.owner.department for session in await logged(books, within=head)} == {"legal"}
    of_id = await books.database.read(lambda connection: sessions_called(connection, head, "s-1"))
    assert {(session.owner.session, session.owner.department) for session in of_id} == {("s-1", "legal")}
    assert len(of_id) > 1  # of several people
