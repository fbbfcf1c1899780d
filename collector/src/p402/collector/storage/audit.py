"""The audit trail: who changed what about budgets, policies, leases and keys, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import Driver

__all__ = ["Audited", "audit_about", "audit_page", "record_audit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One change."""

    id: int
    at: datetime
    actor: str
    """The id of an API key; empty: somebody on this machine."""
    action: str
    """What was done to what kind of thing: ``budget.changed``."""
    subject: str
    detail: Mapping[str, Any]


def record_audit(
    sql: Driver,
    organisation: str,
    *,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    at: datetime,
) -> None:
    """Note a change inside the change itself."""
    sql.execute(
        "INSERT INTO audit (organisation, at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (organisation, to_millis(at), actor, action, subject, json.dumps(detail, sort_keys=True)),
    )


def audit_page(sql: Driver, organisation: str, before: int, limit: int) -> list[Audited]:
    """Give the changes with ids below one, the newest first."""
    rows = sql.execute(
        "SELECT id, at, actor, action, subject, detail FROM audit WHERE organisation = ? AND id < ?"
        " ORDER BY id DESC LIMIT ?",
        (organisation, before, limit),
    ).fetchall()
    return [_audited(row) for row in rows]


def audit_about(sql: Driver, organisation: str, kind: str, subject: str, limit: int) -> list[Audited]:
    """Give the newest changes of one thing of a kind, such as ``budget``."""
    rows = sql.execute(
        "SELECT id, at, actor, action, subject, detail FROM audit WHERE organisation = ? AND subject = ?"
        " AND action LIKE ? ORDER BY id DESC LIMIT ?",
        (organisation, subject, f"{kind}.%", limit),
    ).fetchall()
    return [_audited(row) for row in rows]


def _audited(row: Sequence[Any]) -> Audited:
    id_, at, actor, action, subject, detail = row
    return Audited(id=id_, at=from_millis(at), actor=actor, action=action, subject=subject, detail=json.loads(detail))
