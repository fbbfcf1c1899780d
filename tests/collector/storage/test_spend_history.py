"""The counters of one node, as forecasts read them."""

from __future__ import annotations

from pathlib import Path

from p402.collector.storage.spend_history import SqlSpendHistory
from p402.vocabulary import Level
from support.open_books import open_books
from support.otlp import MAY_2026, ASpan

HOUR_NS = 3_600_000_000_000
HOUR = MAY_2026 // HOUR_NS
COST = 264_235_000


async def test_a_node_has_what_each_hour_of_it_cost(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        history = SqlSpendHistory(books.database)
        await books.send(
            ASpan(),
            ASpan(),
            ASpan(started_ns=MAY_2026 + 2 * HOUR_NS),
            ASpan.of({"p402.department": "sales"}),
            ASpan.of({"p402.department": None}, started_ns=MAY_2026 + HOUR_NS),
            ASpan.of({"p402.organisation": "initech"}),
            ASpan.of({"gen_ai.response.model": "opus-of-tomorrow"}, started_ns=MAY_2026 + 3 * HOUR_NS),
        )
        legal = await history.hourly("acme", Level.DEPARTMENT, "legal", HOUR - 10, HOUR + 10)
        assert legal == {HOUR: 2 * COST, HOUR + 2: COST}
        assert await history.hourly("acme", Level.DEPARTMENT, "legal", HOUR + 1, HOUR + 2) == {}
        assert await history.hourly("acme", Level.DEPARTMENT, "legal", HOUR, HOUR + 1) == {HOUR: 2 * COST}
        assert await history.hourly("acme", Level.DEPARTMENT, None, HOUR - 10, HOUR + 10) == {HOUR + 1: COST}
        whole = await history.hourly("acme", Level.ORGANISATION, "acme", HOUR - 10, HOUR + 10)
        assert whole == {HOUR: 3 * COST, HOUR + 1: COST, HOUR + 2: COST}
        assert await history.hourly("acme", Level.SESSION, "legal", HOUR - 10, HOUR + 10) == {}


async def test_several_nodes_are_read_at_once_each_with_its_own(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        history = SqlSpendHistory(books.database)
        await books.send(ASpan(), ASpan.of({"p402.department": None}, started_ns=MAY_2026 + HOUR_NS))
        nodes = [
            (Level.DEPARTMENT, "legal"),
            (Level.DEPARTMENT, ""),
            (Level.EMPLOYEE, "e-1042"),
            (Level.PROJECT, "none"),
        ]
        assert await history.hourly_of("acme", nodes, HOUR, HOUR + 2) == {
            (Level.DEPARTMENT, "legal"): {HOUR: COST},
            (Level.DEPARTMENT, ""): {HOUR + 1: COST},
            (Level.EMPLOYEE, "e-1042"): {HOUR: COST, HOUR + 1: COST},
            (Level.PROJECT, "none"): {},
        }
