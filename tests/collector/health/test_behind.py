"""What a collector is behind with, as probes and metrics see it."""

from __future__ import annotations

from pathlib import Path

from p402.collector.health.behind import Queue
from p402.collector.health.watch import HealthWatch
from p402.collector.storage.health import SqlWhatIsBehind
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Transient
from support.open_books import open_books
from support.otlp import ASpan
from support.server import serving


def shown(metrics: CollectorMetrics) -> list[str]:
    """The lines of the text format."""
    return metrics.exposition().decode().splitlines()


async def test_readiness_says_what_is_behind_and_of_whom_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, forward_otlp_url="http://127.0.0.1:9/v1/traces") as server:
        await server.send(ASpan())
        answer = (await server.get("/readyz")).json
    assert answer["status"] == "ok"
    assert answer["behind"]["followers"]["anomalies"] in (0, 1)  # it may have looked already
    assert answer["behind"]["forwarding"]["default"]["waiting"] == 1
    assert answer["behind"]["deliveries"] == {"waiting": 0, "oldest_seconds": 0.0}
    assert answer["behind"]["settlement"] is None
    assert answer["behind"]["sessions"] == answer["behind"]["exports"] == {"waiting": 0, "oldest_seconds": 0.0}
    assert answer["behind"]["checkpoint_seconds"] is None
    assert answer["behind"]["disk_free_bytes"] > 0
    assert "legal" not in str(answer)


async def test_charges_that_a_follower_has_not_seen_are_counted(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        await books.send(ASpan(), ASpan())
        store = SqlWhatIsBehind(books.database, [])
        assert (await store.behind(books.clock.now())).followers == {"sessions": 2, "anomalies": 2, "usage": 2}
        await books.sealer.catch_up()
        watch = HealthWatch(store, books.metrics, books.clock)
        await watch.look()
    assert 'p402_follower_lag_charges{follower="sessions"} 0.0' in shown(books.metrics)
    assert 'p402_follower_lag_charges{follower="anomalies"} 2.0' in shown(books.metrics)
    assert "p402_storage_up 1.0" in shown(books.metrics)


async def test_receipts_that_should_be_anchored_age_until_they_are(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        await books.send(ASpan(), ASpan.of({"p402.organisation": "initech"}))
        books.clock.advance(hours=1)
        await books.sealer.catch_up()
        books.clock.advance(hours=2)
        store = SqlWhatIsBehind(books.database, [], lambda organisation: organisation == "acme")
        await HealthWatch(store, books.metrics, books.clock).look()
    assert "p402_receipts_unanchored 1.0" in shown(books.metrics)
    assert "p402_receipts_unanchored_seconds 7200.0" in shown(books.metrics)


async def test_sessions_that_are_over_and_logs_that_are_not_signed_age(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        await books.send(ASpan.of({"p402.session": "s-1"}))
        await books.sealer.catch_up()
        books.clock.advance(hours=1)
        await books.sealer.catch_up()
        await books.send(ASpan.of({"p402.session": "s-2"}))
        await books.sealer.catch_up()
        books.clock.advance(hours=1)
        found = await SqlWhatIsBehind(books.database, []).behind(books.clock.now())
    assert found.sessions == Queue(1, 2700.0)  # it was due a quarter of an hour after its last charge
    assert found.checkpoint_seconds == 3600.0
    assert found.disk_free_bytes is None


async def test_a_database_that_is_away_is_seen(tmp_path: Path) -> None:
    async with open_books(tmp_path) as books:
        watch = HealthWatch(SqlWhatIsBehind(books.database, []), books.metrics, books.clock)
        await watch.look()

        async def away(_: object) -> None:
            raise Transient("the database is away")

        books.database.write = away  # type: ignore[method-assign,assignment]
        await watch.look()
    assert "p402_storage_up 0.0" in shown(books.metrics)
