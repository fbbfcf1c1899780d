"""Acme's past goes through the real pipeline: what the ledger says is what was generated, and the story's facts are there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, func, select

from p402.collector.budgets.alerts import AlertKind
from p402.collector.demo.acme.history import SEED, History, NotAcme, feed
from p402.collector.demo.acme.people import ORGANISATION
from p402.collector.sessions.signing import LogSigners
from p402.collector.settings import Settings
from p402.collector.storage.alerts import alerts_page
from p402.collector.storage.backend import open_backend
from p402.collector.storage.budget_tables import overruns
from p402.collector.storage.charges import spend_by
from p402.collector.storage.driver import driver
from p402.collector.storage.evaluations import evaluations_between, quality_by_task_and_model
from p402.collector.storage.log import checkpoint_of_size, log_size, proofs_hashes
from p402.collector.storage.privacy_tables import receipt_reviews
from p402.collector.storage.reviews import AnomalyFilter, anomalies_page
from p402.collector.storage.tables import charges, log_entries, sessions
from p402.collector.storage.usage_tables import usage_daily
from p402.receipts import BundledReceipt, format_proof, make_bundle
from p402.receipts.cli import main as verify
from p402.vocabulary import Attribution, Level
from support import acme

T = TypeVar("T")

pytestmark = pytest.mark.timeout(600)
FIRST, NOW = date(2026, 11, 1), datetime(2026, 11, 10, 17, tzinfo=UTC)
ACME = Attribution(ORGANISATION)
HOURS = int((NOW - timedelta(days=40)).timestamp()) // 3600, int(NOW.timestamp()) // 3600 + 1


class Fed:
    """A data folder with ten days of Acme."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder, default_organisation=ORGANISATION)
        self.told: list[str] = []
        asyncio.run(feed(self.settings, SEED, 10, NOW, self.told.append))
        self.calls = list(acme.made_until(SEED, FIRST, NOW))

    def read(self, query: Callable[[Connection], T]) -> T:
        backend = open_backend(self.settings)
        try:
            with backend.engine.connect() as connection:
                backend.begin_query(connection)
                return query(connection)
        finally:
            backend.engine.dispose()


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Fed:
    return Fed(tmp_path_factory.mktemp("acme"))


def test_every_call_is_charged_once_at_its_own_time(fed: Fed) -> None:
    recorded = fed.read(lambda connection: connection.execute(select(charges).order_by(charges.c.seq)).all())
    assert {row.span_key for row in recorded} == {made.call.trace_id + made.call.span_id for made in fed.calls}
    assert len(recorded) == len(fed.calls)
    assert all(0 <= row.recorded_at - row.ended_at < 3_600_000 for row in recorded)
    assert [row.recorded_at for row in recorded] == sorted(row.recorded_at for row in recorded)
    assert len(fed.told) == 10


@pytest.mark.parametrize("level", [level for level in Level if level is not Level.REQUEST])
def test_the_sums_of_every_level_are_those_of_the_generated_calls(fed: Fed, level: Level) -> None:
    found = fed.read(lambda connection: spend_by(connection, level, ORGANISATION, *HOURS))
    assert {spend.node: spend.cost.nano_usd for spend in found} == dict(acme.spend_by(level, fed.calls))
    assert sum(spend.charges for spend in found) == len(fed.calls)
    assert sum(spend.unpriced_charges for spend in found) == 0


def test_usage_is_rolled_up(fed: Fed) -> None:
    summed = fed.read(lambda connection: connection.execute(select(func.sum(usage_daily.c.cost_nano_usd))).scalar_one())
    assert summed == sum(map(acme.cost_of, fed.calls))


def test_nothing_passes_a_cap(fed: Fed) -> None:
    assert fed.read(lambda connection: connection.execute(select(func.count()).select_from(overruns)).scalar_one()) == 0


def test_a_department_is_told_that_it_is_heading_for_its_cap(fed: Fed) -> None:
    raised = fed.read(lambda connection: alerts_page(driver(connection), ORGANISATION, 0, 1000))
    told = [alert for alert in raised if (alert.kind, alert.node) == (AlertKind.PROJECTED, "engineering")]
    assert [alert.percent for alert in told] == [90]
    assert FIRST < told[0].raised_at.date() <= NOW.date()


def test_an_agent_that_runs_in_circles_is_flagged_while_it_does(fed: Fed) -> None:
    found = fed.read(lambda connection: anomalies_page(connection, ACME, ACME, AnomalyFilter(), 0, 1000))
    runaway = max(found, key=lambda anomaly: anomaly.cost.nano_usd)
    assert runaway.cost.nano_usd > 5_000_000_000
    assert runaway.flagged_at.date() == NOW.date()
    assert 0 < len(found) < 30
    assert any(anomaly.reviewed_at is not None for anomaly in found)


def test_reviews_are_made_on_working_days(fed: Fed) -> None:
    made = fed.read(lambda connection: connection.execute(select(receipt_reviews)).all())
    assert "approved" in {step.action for step in made}
    assert all(datetime.fromtimestamp(step.at / 1000, UTC).weekday() < 5 for step in made)


def test_every_evaluation_is_about_a_call(fed: Fed) -> None:
    period = datetime(2026, 11, 1, tzinfo=UTC) - timedelta(days=1), NOW + timedelta(days=1)
    found = fed.read(lambda connection: quality_by_task_and_model(connection, ACME, *period))
    made = fed.read(lambda connection: evaluations_between(connection, ACME, *period))
    expected: dict[tuple[str | None, str], list[int]] = {}
    for call in fed.calls:
        if call.score is not None:
            place = call.call.task.id, call.decision.model
            expected.setdefault(place, []).append(round(call.score * 1_000_000))
    assert {(one.task_type, one.model): (one.evaluations, one.total) for one in found} == {
        place: (len(scores), sum(scores)) for place, scores in expected.items()
    }
    assert made == sum(len(scores) for scores in expected.values())


def test_sessions_are_sealed_when_they_were_over(fed: Fed) -> None:
    def receipts(connection: Connection) -> list[dict[str, str]]:
        kinds = log_entries.c.type == "session-receipt"
        bodies = connection.execute(select(log_entries.c.body).where(kinds).order_by(log_entries.c.seq)).scalars()
        return [json.loads(body) for body in bodies]

    issued = [receipt["issued_at"] for receipt in fed.read(receipts)]
    assert issued == sorted(issued)
    assert {time[:10] for time in issued} >= {f"2026-11-{day:02}" for day in (2, 3, 4, 5, 6, 9, 10)}
    still_open = fed.read(
        lambda connection: connection.execute(
            select(func.count()).select_from(sessions).where(sessions.c.due_at.is_not(None))
        ).scalar_one()
    )
    assert still_open < 60


def test_every_receipt_verifies(fed: Fed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def bundled(connection: Connection) -> list[BundledReceipt]:
        of_receipts = select(log_entries.c.seq, log_entries.c.body).where(log_entries.c.type == "session-receipt")
        found = [(seq, bytes(body)) for seq, body in connection.execute(of_receipts.order_by(log_entries.c.seq))]
        size = log_size(connection, ORGANISATION)
        note = checkpoint_of_size(connection, ORGANISATION, size)
        hashes = proofs_hashes(connection, ORGANISATION, [seq for seq, _ in found], size)
        return [
            BundledReceipt(body=body, disclosures=(), proof=format_proof(seq, path, note), anchor=None)
            for (seq, body), path in zip(found, hashes, strict=True)
        ]

    receipts = fed.read(bundled)
    assert len(receipts) > 1_000
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(make_bundle(receipts, [])))
    settings = fed.settings
    key = LogSigners(settings.log_key_file, settings.receipt_origin).signer(ORGANISATION).verifier_key
    verify([str(bundle), "--key", key])
    told = capsys.readouterr().out
    assert told.count("✓ inclusion") == len(receipts)
    assert "✗" not in told


def test_a_folder_is_brought_up_to_now_and_nothing_is_fed_twice(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, default_organisation=ORGANISATION)
    saturday, sunday = datetime(2026, 11, 7, 14, tzinfo=UTC), datetime(2026, 11, 8, 16, tzinfo=UTC)
    asyncio.run(feed(settings, SEED, 1, saturday, lambda _: None))
    asyncio.run(feed(settings, 7, 30, sunday, lambda _: None))
    known = History.of(tmp_path)
    assert known is not None
    expected = list(acme.made_until(SEED, date(2026, 11, 7), sunday))
    assert (known.seed, known.first_day, known.charges) == (SEED, "2026-11-07", len(expected))


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, default_organisation=ORGANISATION)
    asyncio.run(feed(settings, SEED, 1, datetime(2026, 11, 7, 14, tzinfo=UTC), lambda _: None))
    (tmp_path / "acme.json").unlink()
    with pytest.raises(NotAcme, match="Choose another folder"):
        asyncio.run(feed(settings, SEED, 1, datetime(2026, 11, 8, 14, tzinfo=UTC), lambda _: None))
