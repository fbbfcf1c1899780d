"""The review queue in the order in which people work through it, page by page."""

from __future__ import annotations

from pathlib import Path

from p402.collector.anomalies.detect import Rule
from p402.collector.anomalies.ports import Anomaly, AnomalyState
from p402.collector.storage.review_queue import (
    QueueFilter,
    QueuePlace,
    queue_counts,
    queue_departments,
    queue_page,
    reviewers_of,
)
from p402.vocabulary import Attribution
from support.otlp import ASpan
from support.server import Server, bearer, serving

ACME = Attribution(organisation="acme")


async def flagged(server: Server, *sessions: str, department: str = "legal") -> None:
    spans = [ASpan.of({"p402.session": session, "p402.department": department}) for session in sessions]
    await server.send(*spans)
    await server.collector.watch.catch_up()


async def page(server: Server, asked: QueueFilter, place: QueuePlace | None = None, limit: int = 9) -> list[Anomaly]:
    return await server.collector.database.read(lambda connection: queue_page(connection, ACME, asked, place, limit))


async def reviewed(server: Server, *sessions: str, key: str | None = None) -> None:
    for anomaly in await page(server, QueueFilter()):
        if anomaly.session.session in sessions:
            path = f"/v1/anomalies/{anomaly.anomaly_id}/review?organisation=acme"
            answer = await server.ask("POST", path, json={"decision": "dismissed"}, headers=bearer(key))
            assert answer.status == 200


async def test_what_is_open_comes_first_then_what_was_reviewed_and_pages_join_without_a_gap(tmp_path: Path) -> None:
    async with serving(tmp_path, anomaly_session_usd="0.01") as server:
        await flagged(server, "s-1", "s-2", "s-3", "s-4", "s-5")
        await reviewed(server, "s-2", "s-4", "s-5")
        order = ["s-3", "s-1", "s-5", "s-4", "s-2"]
        assert [one.session.session for one in await page(server, QueueFilter())] == order
        for limit in (1, 2, 3, 4):
            found: list[str | None] = []
            place = None
            while part := await page(server, QueueFilter(), place, limit):
                found += [one.session.session for one in part]
                place = QueuePlace.parse(str(QueuePlace.of(part[-1])))
            assert found == order, limit


async def test_the_queue_is_narrowed_by_state_rule_and_department_and_counted_by_state(tmp_path: Path) -> None:
    async with serving(tmp_path, anomaly_session_usd="0.01") as server:
        await flagged(server, "s-1", "s-2")
        await flagged(server, "s-3", department="sales")
        await reviewed(server, "s-2")

        async def sessions(asked: QueueFilter) -> list[str | None]:
            return [one.session.session for one in await page(server, asked)]

        assert await sessions(QueueFilter(state=AnomalyState.OPEN)) == ["s-3", "s-1"]
        assert await sessions(QueueFilter(state=AnomalyState.DISMISSED)) == ["s-2"]
        assert await sessions(QueueFilter(department="sales")) == ["s-3"]
        assert await sessions(QueueFilter(employee="e-1042", state=AnomalyState.CONFIRMED)) == []
        assert await sessions(QueueFilter(rule=Rule.EMPLOYEE_MEAN)) == []
        read = server.collector.database.read
        counts = await read(lambda connection: queue_counts(connection, ACME, QueueFilter(department="legal")))
        assert counts == {AnomalyState.OPEN: 1, AnomalyState.DISMISSED: 1, AnomalyState.CONFIRMED: 0}
        assert await read(lambda connection: queue_departments(connection, ACME)) == ["legal", "sales"]
        elsewhere = Attribution(organisation="acme", department="sales")
        assert await read(lambda connection: queue_departments(connection, elsewhere)) == ["sales"]


async def test_a_reviewer_is_known_by_the_name_of_the_key(tmp_path: Path) -> None:
    async with serving(tmp_path, anomaly_session_usd="0.01") as server:
        await flagged(server, "s-1", "s-2")
        await reviewed(server, "s-1", key=await server.key("review", employee="e-1042"))
        await reviewed(server, "s-2")
        found = await page(server, QueueFilter())
        known = await server.collector.database.read(lambda connection: reviewers_of(connection, found))
        [reviewer] = known.values()
        assert (reviewer.name, reviewer.employee) == ("test", "e-1042")
