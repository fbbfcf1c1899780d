"""What sessions cost, and the review queue. Implements `anomalies.ports.AnomalyStore`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from p402.collector.anomalies.baseline import Baselines, Employee, Totals
from p402.collector.anomalies.detect import AnomalyRules, Flag, PricedCharge, Rule, SessionCost, take
from p402.collector.anomalies.ports import AnomalyState
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import Driver, driver, upsert
from p402.collector.storage.event_tables import anomalies, employee_days, session_costs
from p402.collector.storage.outbox import publish
from p402.collector.storage.reviews import anomaly_by_seq, detected
from p402.collector.storage.tables import charges, cursors, scopes
from p402.vocabulary import IdFactory

__all__ = ["FOLLOWER", "SqlAnomalies"]

FOLLOWER = "anomalies"
_DAY = 86_400_000  # milliseconds
_TOTALS = (
    "SELECT coalesce(sum(sessions), 0), coalesce(sum(cost_nano_usd), 0) FROM employee_days"
    " WHERE organisation = ? AND employee = ? AND day BETWEEN ? AND ?"
)

AnyRow = Row[*tuple[Any, ...]]


class SqlAnomalies:
    """The session costs that are kept for watching, and what was flagged."""

    def __init__(self, database: Database, new_id: IdFactory) -> None:
        self._database = database
        self._new_id = new_id

    async def follow(self, rules: AnomalyRules, at: datetime, limit: int) -> tuple[int, int]:
        """Take the next recorded charges into session costs, and flag."""
        if not await self._database.read(lambda connection: connection.execute(_next(connection, 1)).first()):
            return 0, 0
        return await self._database.write(lambda connection: self._follow(connection, rules, at, limit))

    async def count_open(self) -> int:
        """Count the anomalies that nobody has reviewed."""
        query = select(func.count()).where(anomalies.c.state == AnomalyState.OPEN)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    def _follow(self, connection: Connection, rules: AnomalyRules, at: datetime, limit: int) -> tuple[int, int]:
        rows = connection.execute(_next(connection, limit)).all()
        if not rows:
            return 0, 0
        sessions = _known_sessions(connection, rows)
        before = {scope_id: session.cost for scope_id, session in sessions.items()}
        baselines = Baselines(partial(_totals, driver(connection)))
        flags = take(_priced(rows), sessions, baselines, rules)
        _store_costs(connection, {key: session for key, session in sessions.items() if session.cost != before.get(key)})
        _store_days(connection, baselines.new)
        for flag in flags:
            self._flag(connection, flag, at)
        for scope_id, session in sessions.items():
            if session.flagged:
                grown = update(anomalies).where(anomalies.c.scope_id == scope_id)
                connection.execute(grown.values(cost_nano_usd=session.cost))
        cursor = upsert(connection, cursors).values(follower=FOLLOWER, seq=rows[-1].seq)
        moved = {"seq": cursor.excluded.seq}
        connection.execute(cursor.on_conflict_do_update(index_elements=["follower"], set_=moved))
        return len(rows), len(flags)

    def _flag(self, connection: Connection, flag: Flag, at: datetime) -> None:
        row = {
            "id": self._new_id("anom", at),
            "scope_id": flag.scope_id,
            "rule": flag.rule.value,
            "cost_nano_usd": flag.cost,
            "baseline_sessions": flag.baseline.sessions,
            "baseline_cost_nano_usd": flag.baseline.cost,
            "flagged_at": to_millis(at),
            "state": AnomalyState.OPEN.value,
        }
        seq = connection.execute(insert(anomalies).values(row).returning(anomalies.c.seq)).scalar_one()
        publish(connection, detected(anomaly_by_seq(connection, seq)))


def _next(connection: Connection, limit: int) -> Select[Any]:
    """Select the charges that come next."""
    after = connection.execute(select(cursors.c.seq).where(cursors.c.follower == FOLLOWER)).scalar() or 0
    columns = (charges.c.seq, charges.c.scope_id, charges.c.cost_nano_usd, charges.c.started_at)
    whose = (scopes.c.organisation, scopes.c.employee, scopes.c.session)
    query = select(*columns, *whose).join(scopes, charges.c.scope_id == scopes.c.id)
    return query.where(charges.c.seq > after).order_by(charges.c.seq).limit(limit)


def _priced(rows: Sequence[AnyRow]) -> list[PricedCharge]:
    """Give the charges that tell what a session costs: of a named session, and with a price."""
    return [
        PricedCharge(row.scope_id, _employee(row), row.started_at // _DAY, row.cost_nano_usd)
        for row in rows
        if row.session and row.cost_nano_usd is not None
    ]


def _employee(row: AnyRow) -> Employee | None:
    return Employee(row.organisation, row.employee) if row.employee else None


def _known_sessions(connection: Connection, rows: Sequence[AnyRow]) -> dict[int, SessionCost]:
    of_these = sorted({row.scope_id for row in rows})
    query = select(session_costs, scopes.c.organisation, scopes.c.employee).join(scopes)
    found = connection.execute(query.where(session_costs.c.scope_id.in_(of_these)))
    sessions = {row.scope_id: SessionCost(_employee(row), row.day, row.cost_nano_usd) for row in found}
    flagged = select(anomalies.c.scope_id, anomalies.c.rule).where(anomalies.c.scope_id.in_(of_these))
    for row in connection.execute(flagged):
        sessions[row.scope_id].flagged.add(Rule(row.rule))
    return sessions


def _totals(sql: Driver, employee: Employee, first: int, last: int) -> Totals:
    sessions, cost = sql.execute(_TOTALS, (*employee, first, last)).fetchone()
    return Totals(int(sessions), int(cost))


def _store_costs(connection: Connection, sessions: Mapping[int, SessionCost]) -> None:
    rows = [{"scope_id": key, "day": session.day, "cost_nano_usd": session.cost} for key, session in sessions.items()]
    if rows:
        change = upsert(connection, session_costs)
        newer = {"cost_nano_usd": change.excluded.cost_nano_usd}
        connection.execute(change.on_conflict_do_update(index_elements=["scope_id"], set_=newer), rows)


def _store_days(connection: Connection, new: Mapping[Employee, Mapping[int, Totals]]) -> None:
    rows = [
        {**employee._asdict(), "day": day, "sessions": totals.sessions, "cost_nano_usd": totals.cost}
        for employee, days in new.items()
        for day, totals in days.items()
    ]
    if rows:
        change = upsert(connection, employee_days)
        more = {name: employee_days.c[name] + change.excluded[name] for name in ("sessions", "cost_nano_usd")}
        key = ["organisation", "employee", "day"]
        connection.execute(change.on_conflict_do_update(index_elements=key, set_=more), rows)
