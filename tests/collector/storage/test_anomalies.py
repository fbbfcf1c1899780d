"""Sessions are flagged from what the ledger holds: once, with their event, whatever restarts or repeats."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

import pytest

from p402.collector.anomalies.detect import AnomalyRules
from p402.collector.anomalies.watch import AnomalyWatch
from p402.collector.storage.anomalies import SqlAnomalies
from p402.vocabulary import Money, new_id
from support.open_books import OpenBooks, open_books
from support.otlp import MAY_2026, ASpan

USD = 1_000_000_000
RULES = AnomalyRules(Fraction(3), 5, Money(USD // 2), Money(10 * USD))
DAY_NS = 86_400_000_000_000
QUEUE = "SELECT rule, cost_nano_usd, baseline_sessions, baseline_cost_nano_usd, state FROM anomalies ORDER BY seq"


def watch_of(books: OpenBooks) -> AnomalyWatch:
    return AnomalyWatch(SqlAnomalies(books.database, new_id), RULES, books.metrics, books.clock)


def call(session: str, **extra: object) -> ASpan:
    """A call of $0.264235."""
    started = extra.pop("started_ns", MAY_2026)
    assert isinstance(started, int)
    return ASpan.of({"p402.session": session, **extra}, started_ns=started)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[OpenBooks]:
    async with open_books(tmp_path) as opened:
        yield opened


async def with_history(books: OpenBooks) -> AnomalyWatch:
    """Five sessions of one call each."""
    await books.send(*(call(f"usual-{number}") for number in range(5)))
    watch = watch_of(books)
    assert await watch.catch_up() == 0
    return watch


async def test_a_session_is_flagged_when_it_passes_three_times_the_mean(books: OpenBooks) -> None:
    watch = await with_history(books)
    await books.send(*(call("dear") for _ in range(3)))
    assert await watch.catch_up() == 0
    await books.send(call("dear"))
    assert await watch.catch_up() == 1
    assert books.rows(QUEUE) == [("employee_mean", 1_056_940_000, 5, 1_321_175_000, "open")]


async def test_a_session_that_grows_updates_its_amount_and_raises_nothing_again(books: OpenBooks) -> None:
    watch = await with_history(books)
    for _ in range(2):
        await books.send(*(call("dear") for _ in range(4)))
        await watch.catch_up()
    assert books.rows(QUEUE) == [("employee_mean", 2_113_880_000, 5, 1_321_175_000, "open")]
    assert books.value("SELECT count(*) FROM events") == 1


async def test_the_event_is_there_with_the_anomaly_and_says_what_happened(books: OpenBooks) -> None:
    watch = await with_history(books)
    await books.send(*(call("dear") for _ in range(4)))
    await watch.catch_up()
    [(kind, organisation, payload)] = books.rows("SELECT type, organisation, payload FROM events")
    told = json.loads(payload)
    assert (kind, organisation) == ("anomaly.detected", "acme")
    assert told["summary"] == (
        "Session dear of e-1042 has cost $1.05694; the mean of the 5 others is $0.264235. Please review it."
    )
    assert {name: told[name] for name in ("session", "employee", "department", "rule", "cost_usd")} == {
        "session": "dear", "employee": "e-1042", "department": "legal", "rule": "employee_mean", "cost_usd": "1.05694",
    }  # fmt: skip


async def test_the_absolute_rule_covers_who_has_no_history_and_no_name(books: OpenBooks) -> None:
    watch = watch_of(books)
    await books.send(*(call("new", **{"p402.employee": None}) for _ in range(38)))
    assert await watch.catch_up() == 1
    assert books.rows(QUEUE) == [("session_cost", 10_040_930_000, 0, 0, "open")]


async def test_calls_outside_any_session_and_without_a_price_are_no_sessions(books: OpenBooks) -> None:
    watch = watch_of(books)
    unpriced = {"gen_ai.response.model": "opus-of-tomorrow", "gen_ai.request.model": "opus-of-tomorrow"}
    await books.send(*(ASpan.of({"p402.session": None}) for _ in range(40)), call("s", **unpriced))
    assert await watch.catch_up() == 0
    assert books.rows("SELECT count(*) FROM session_costs") == books.rows("SELECT count(*) FROM employee_days")
    assert books.value("SELECT count(*) FROM session_costs") == 0


async def test_history_older_than_thirty_days_is_forgotten(books: OpenBooks) -> None:
    watch = await with_history(books)
    await books.send(*(call("dear", started_ns=MAY_2026 + 31 * DAY_NS) for _ in range(4)))
    assert await watch.catch_up() == 0


async def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        await with_history(books)
        await books.send(*(call("dear") for _ in range(3)))
    async with open_books(tmp_path) as books:
        await watch_of(books).catch_up()
        await books.send(call("dear"))
    async with open_books(tmp_path) as books:
        assert await watch_of(books).catch_up() == 1
        assert await watch_of(books).catch_up() == 0
        assert books.rows("SELECT day, sessions, cost_nano_usd FROM employee_days") == [(20588, 6, 2_378_115_000)]


async def test_two_watches_at_once_count_each_charge_once(books: OpenBooks) -> None:
    await books.send(*(call(f"s-{number % 7}") for number in range(70)))
    first, second = watch_of(books), watch_of(books)
    await first.catch_up()
    await second.catch_up()
    total = books.value("SELECT sum(cost_nano_usd) FROM charges")
    for table in ("session_costs", "employee_days"):
        assert books.value(f"SELECT sum(cost_nano_usd) FROM {table}") == total
    assert books.value("SELECT sum(sessions) FROM employee_days") == 7


async def test_the_metric_knows_how_many_wait_for_a_review(books: OpenBooks) -> None:
    watch = await with_history(books)
    await books.send(*(call("dear") for _ in range(4)))
    await watch.catch_up()
    assert "p402_anomalies_open 1.0" in books.metrics.exposition().decode()
