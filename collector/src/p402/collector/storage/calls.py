"""The calls of a slice of the usage, the newest first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, or_

from p402.collector.storage.charge_rows import charge_of, to_millis
from p402.collector.storage.charges import charges_joined
from p402.collector.storage.tables import charges, models, scopes
from p402.collector.usage.slices import Dimension, Slice
from p402.vocabulary import Charge

__all__ = ["Place", "calls_of", "conditions_of", "in_slice", "moved_calls"]

_MODEL = func.coalesce(func.nullif(models.c.response_model, ""), func.nullif(models.c.request_model, ""), "unknown")
_COLUMNS: dict[Dimension, ColumnElement[str]] = {
    Dimension.DEPARTMENT: scopes.c.department,
    Dimension.PROJECT: scopes.c.project,
    Dimension.CLIENT: scopes.c.client,
    Dimension.EMPLOYEE: scopes.c.employee,
    Dimension.PROVIDER: models.c.provider,
    Dimension.MODEL: _MODEL,
    Dimension.TASK_TYPE: func.coalesce(charges.c.task_type, ""),
    Dimension.VERDICT: func.coalesce(charges.c.verdict, ""),
}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a call is in the list: when it began, in milliseconds since 1970, and its number in the ledger."""

    started_at: int
    seq: int

    def __str__(self) -> str:
        """Write it for the address of the next page."""
        return f"{self.started_at}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what was written; raise ValueError if it is something else."""
        started_at, _, seq = text.partition("-")
        if not (started_at.isascii() and seq.isascii() and started_at.isdigit() and seq.isdigit() and len(text) < 38):  # noqa: PLR2004 - two numbers of 64 bits
            raise ValueError("not a place")
        return cls(int(started_at), int(seq))


def conditions_of(only: Mapping[Dimension, str], but: Collection[Dimension] = ()) -> list[ColumnElement[bool]]:
    """Give the conditions on ``scopes``, ``models`` and ``charges`` that keep a query to a part of the usage."""
    return [_COLUMNS[dimension] == value for dimension, value in only.items() if dimension not in but]


def calls_of(connection: Connection, of: Slice, before: Place | None, limit: int) -> list[tuple[Place, Charge]]:
    """Give the calls of a slice that began before a place, the newest first, each with its place."""
    query = charges_joined().where(*in_slice(of))
    if before is not None:
        same = and_(charges.c.started_at == before.started_at, charges.c.seq < before.seq)
        query = query.where(
            charges.c.started_at <= before.started_at, or_(charges.c.started_at < before.started_at, same)
        )
    query = query.order_by(charges.c.started_at.desc(), charges.c.seq.desc()).limit(limit)
    return [
        (Place(row["started_at"], row["seq"]), charge_of(dict(row))) for row in connection.execute(query).mappings()
    ]


def moved_calls(connection: Connection, of: Slice, limit: int) -> list[Charge]:
    """Give the newest calls of a slice for which a decision put another model in the place of the one that was asked for."""
    query = charges_joined().where(*in_slice(of), charges.c.original_model.is_not(None))
    newest = query.order_by(charges.c.started_at.desc(), charges.c.seq.desc()).limit(limit)
    return [charge_of(dict(row)) for row in connection.execute(newest).mappings()]


def in_slice(of: Slice) -> tuple[ColumnElement[bool], ...]:
    """Give the conditions on charges, joined with their scopes and models, that a slice means."""
    return (
        charges.c.started_at >= to_millis(of.period.begin),
        charges.c.started_at < to_millis(of.period.end),
        scopes.c.organisation == of.organisation,
        *conditions_of(of.only),
    )
