"""What was summed by everything before is summed by few things when the collector is upgraded."""

from __future__ import annotations

from pathlib import Path

from alembic import command

from p402.collector.storage.migrate import _config, upgrade
from support.databases import Kept, kept_in

BEFORE = "0018"
SUMS = "SUM(cost_nano_usd), SUM(charges), SUM(unpriced_charges), SUM(input_tokens), SUM(output_tokens), SUM(cache_read_tokens)"


def old(folder: Path) -> Kept:
    kept = kept_in(folder, migrated=False)
    backend = kept.backend()
    backend.prepare()
    with backend.engine.connect() as connection:
        backend.begin_migration(connection)
        command.upgrade(_config(connection), BEFORE)
        backend.commit(connection, ())
    backend.engine.dispose()
    rows = [
        f"('acme', {day}, '{department}', '{project}', '', '{employee}', 'anthropic', '{model}', '', {number}, 2, 1, 5, 7, 3)"
        for number, (day, department, project, employee, model) in enumerate(
            (day, department, project, employee, model)
            for day in (20_000, 20_001)
            for department in ("legal", "")
            for project in ("contracts", "tenders")
            for employee in ("e-1", "e-2", "")
            for model in ("claude-opus-4-5", "claude-haiku-4-5")
        )
    ]
    kept.run(f"INSERT INTO usage_daily VALUES {', '.join(rows)}")
    return kept


def test_the_sums_by_few_things_are_sums_of_those_by_everything(tmp_path: Path) -> None:
    kept = old(tmp_path)
    upgrade(kept.backend())
    for table, keys, rows in (
        ("usage_work_daily", "organisation, day, department, provider, model, task_type", 8),
        ("usage_people_daily", "organisation, day, department, employee", 12),
    ):
        found = kept.rows(f"SELECT {keys}, {SUMS} FROM {table} GROUP BY {keys} ORDER BY {keys}")
        assert found == kept.rows(f"SELECT {keys}, {SUMS} FROM usage_daily GROUP BY {keys} ORDER BY {keys}")
        assert kept.rows(f"SELECT COUNT(*) FROM {table}") == [(rows,)]
