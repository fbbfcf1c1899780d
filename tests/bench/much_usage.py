"""A month of an organisation, put into an SQLite file at once: rows as the collector leaves them, without having been through it.

What pages read is there in its usual proportions: charges, their sessions, receipts, flags, the counters by hour, and the roll-up
by day and by session, which are made by the product's own statements. What they do not read is not: of the log, only the newest
receipts have an entry, and all of them the body of one that is real.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from p402.collector.settings import Settings
from p402.collector.storage.anomalies import FOLLOWER as ANOMALIES
from p402.collector.storage.backend import open_backend
from p402.collector.storage.migrate import upgrade
from p402.collector.storage.sessions import FOLLOWER as SESSIONS
from p402.collector.storage.usage import _ADD_SESSIONS as ADD_SESSIONS
from p402.collector.storage.usage import FOLLOWER as USAGE
from p402.collector.storage.usage import day_of, usage_statements

__all__ = ["fill", "lend_bodies"]

DAYS = 60
"""Two months: pages compare with the period before."""
SESSIONS_A_DAY = 2
CALLS_A_SESSION = 4
_DEPARTMENTS = ("engineering", "legal", "marketing", "finance", "support", "research")
_MODELS = (
    ("anthropic", "claude-opus-4-5", 120_000_000),
    ("anthropic", "claude-haiku-4-5", 14_000_000),
    ("openai", "gpt-4o", 60_000_000),
    ("openai", "gpt-4o-mini", 3_000_000),
    ("gcp.gemini", "gemini-2.5-pro", 45_000_000),
)
_TASKS = ("code_review", "code_completion", "content", "classification", "financial_qa", "contract_analysis")
_DAY = 86_400_000
_RECEIPTS_FROM = 1_000_000_000  # places in the log that no real receipt of the measurement has
_LEVELS = ("organisation", "department", "project", "client", "employee")


def fill(folder: Path, people: int, now: datetime) -> int:
    """Make the database of a collector that will be started in a folder; gives the number of charges."""
    settings = Settings(data_dir=folder)
    upgrade(open_backend(settings))
    with closing(sqlite3.connect(settings.database_file, isolation_level=None)) as sql:
        sql.execute("PRAGMA synchronous = OFF")  # it is filled once, and measured afterwards
        sql.execute("BEGIN")
        _names(sql, people, now)
        _ledger(sql, now)
        _beside(sql, now)
        sql.execute("COMMIT")
        sql.execute("ANALYZE")
        (charges,) = sql.execute("SELECT COUNT(*) FROM charges").fetchone()
    return int(charges)


def lend_bodies(file: Path, receipt_id: str) -> None:
    """Give the newest receipts the body of a real one, so that they can be listed."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as sql:
        sql.execute(
            "INSERT OR IGNORE INTO log_entries (organisation, seq, type, body) SELECT r.organisation, r.seq, e.type, e.body FROM"
            " (SELECT organisation, seq FROM receipts ORDER BY issued_at DESC, seq DESC LIMIT 1000) r,"
            " (SELECT e.type, e.body FROM log_entries e JOIN receipts USING (organisation, seq) WHERE receipts.id = ?) e",
            (receipt_id,),
        )


def _names(sql: sqlite3.Connection, people: int, now: datetime) -> None:
    random = Random(7)
    sql.execute("CREATE TEMP TABLE people (employee, department, project, client)")
    rows = []
    for number in range(people):
        department = _DEPARTMENTS[random.randrange(len(_DEPARTMENTS))]
        project = f"{department}-{random.randrange(3 + people // 500)}"
        client = random.choice(("", "globex", "initech", "umbrella"))
        rows.append((f"e-{number:05}", department, project, client))
    sql.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", rows)
    working = [day for back in range(DAYS) if (day := now - timedelta(days=back)).weekday() < 5]
    sql.execute("CREATE TEMP TABLE days (day INTEGER)")
    sql.executemany("INSERT INTO days VALUES (?)", [(day_of(day),) for day in reversed(working)])
    sql.execute("CREATE TEMP TABLE priced (at INTEGER PRIMARY KEY, id INTEGER, cost INTEGER)")
    for at, (provider, model, cost) in enumerate(_MODELS):
        made = sql.execute(
            "INSERT INTO models (provider, operation, request_model, response_model) VALUES (?, 'chat', ?, ?)",
            (provider, model, model),
        )
        sql.execute("INSERT INTO priced VALUES (?, ?, ?)", (at, made.lastrowid, cost))
    for name, values in (("tasks", _TASKS), ("parts", range(SESSIONS_A_DAY)), ("calls", range(CALLS_A_SESSION))):
        sql.execute(f"CREATE TEMP TABLE {name} (at INTEGER PRIMARY KEY, name)")
        sql.executemany(f"INSERT INTO {name} VALUES (?, ?)", list(enumerate(values)))


def _ledger(sql: sqlite3.Connection, now: datetime) -> None:
    sql.execute(
        "CREATE TEMP TABLE made AS SELECT ROW_NUMBER() OVER () AS id, d.day, p.*, n.at AS part FROM days d, parts n, people p"
    )
    sql.execute(
        "INSERT INTO scopes (id, organisation, department, project, client, employee, session)"
        " SELECT id, 'acme', department, project, client, employee, employee || '-' || day || '-' || part FROM made"
    )
    counts = [name for name in _number_columns(sql) if name not in ("input_tokens", "output_tokens")]
    sql.execute(
        f"INSERT INTO charges (span_key, scope_id, model_id, request, recorded_at, started_at, ended_at, input_tokens,"
        f" output_tokens, {', '.join(counts)}, usage_source, cost_nano_usd, task_type)"
        f" SELECT CAST(printf('%024d', s.id * 16 + n.at) AS BLOB), s.id, m.id, 'req_' || (s.id * 16 + n.at), b.at, b.at,"
        f" b.at + 2000, 4000 + s.id % 9000, 300 + s.id % 700, {', '.join('0' for _ in counts)}, 'provider',"
        f" CASE WHEN (s.id + n.at) % 97 = 0 THEN NULL ELSE m.cost * (80 + s.id % 41) / 100 END, t.name"
        f" FROM made s JOIN calls n JOIN priced m ON m.at = (s.id + n.at) % {len(_MODELS)}"
        f" JOIN tasks t ON t.at = (s.id / 3 + n.at) % {len(_TASKS)}"
        f" JOIN (SELECT id AS of, MIN(day * {_DAY} + 28800000 + (id * 7919 % 36000) * 1000, ?) AS at FROM made) b ON b.of = s.id",
        (int(now.timestamp() * 1000),),
    )
    through = sql.execute("SELECT MAX(seq) FROM charges").fetchone()[0]
    for statement in usage_statements("c.seq > ? AND c.seq <= ?"):
        sql.execute(statement, (0, through))
    sql.execute(ADD_SESSIONS, (0, through))
    for follower in (ANOMALIES, SESSIONS, USAGE):
        sql.execute("INSERT OR REPLACE INTO cursors (follower, seq) VALUES (?, ?)", (follower, through))
    for level in _LEVELS:
        sql.execute(
            f"INSERT INTO spend_hourly SELECT s.organisation, '{level}', s.{level}, c.started_at / 3600000,"
            " SUM(COALESCE(c.cost_nano_usd, 0)), COUNT(*), SUM(c.cost_nano_usd IS NULL), SUM(c.input_tokens),"
            f" SUM(c.output_tokens) FROM charges c JOIN scopes s ON s.id = c.scope_id GROUP BY 1, 3, 4"
        )


def _beside(sql: sqlite3.Connection, now: datetime) -> None:
    """Sessions, receipts, flags."""
    sql.execute(
        "CREATE TEMP TABLE sealed AS SELECT scope_id, MIN(started_at) AS first, MAX(seq) AS seq,"
        " SUM(COALESCE(cost_nano_usd, 0)) AS cost FROM charges GROUP BY scope_id"
    )
    sql.execute(
        "INSERT INTO sessions (scope_id, opened_at, last_seen_at, due_at, sealed_through_seq, parts, first_receipt_id)"
        " SELECT scope_id, first, first, NULL, seq, 1, 'rcpt_' || scope_id FROM sealed"
    )
    sql.execute(
        "INSERT INTO receipts (id, organisation, seq, scope_id, issued_at, cost_nano_usd)"
        f" SELECT 'rcpt_' || scope_id, 'acme', {_RECEIPTS_FROM} + scope_id, scope_id, first + 900000, cost FROM sealed"
    )
    sql.execute(
        "INSERT INTO anomalies (id, scope_id, rule, cost_nano_usd, baseline_sessions, baseline_cost_nano_usd, flagged_at, state,"
        " reviewed_at) SELECT 'anom_' || scope_id, scope_id, 'employee_mean', cost, 12, cost, first, CASE WHEN scope_id % 400 = 0"
        " THEN 'open' ELSE 'dismissed' END, CASE WHEN scope_id % 400 = 0 THEN NULL ELSE ? END FROM sealed WHERE scope_id % 100 = 0",
        (int(now.timestamp() * 1000),),
    )


def _number_columns(sql: sqlite3.Connection) -> list[str]:
    """The columns of a charge that say how much was used of what."""
    rows = sql.execute("PRAGMA table_info(charges)").fetchall()
    return [
        name
        for _, name, kind, needed, *_ in rows
        if needed and name.endswith(("_tokens", "_seconds", "_requests", "_characters"))
    ]
