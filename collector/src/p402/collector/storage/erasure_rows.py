"""Erasures as they are kept and read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select

from p402.collector.storage.charge_rows import from_millis
from p402.collector.storage.privacy_tables import erasures

__all__ = ["ErasureState", "StoredErasure", "erasure_at", "erasure_by_id", "erasures_page"]


class ErasureState(StrEnum):
    """Where an erasure is."""

    SWEEPING = "sweeping"
    """What was written down about single calls is being gone through."""
    HELD = "held"
    """A part is kept by a legal hold; it is erased when that is released."""
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredErasure:
    """An erasure and what became of it. It does not say whose."""

    id: str
    organisation: str
    pseudonym: str
    legal_basis: str
    key_id: str | None
    requested_at: datetime
    state: ErasureState
    erased: int
    """Disclosures."""
    held_back: int
    matters: tuple[str, ...]
    seq: int | None
    """Of its first entry in the log, which commits to who asked."""
    scrubbed_at: datetime | None


def erasure_by_id(connection: Connection, organisation: str, erasure_id: str) -> StoredErasure | None:
    """Give one erasure of an organisation, None if there is none."""
    query = select(erasures).where(erasures.c.organisation == organisation, erasures.c.id == erasure_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _stored(row)


def erasures_page(
    connection: Connection, organisation: str, before: tuple[int, str] | None, limit: int
) -> list[StoredErasure]:
    """Give the erasures of an organisation before one of them (its time in milliseconds, and its id), the newest first."""
    query = select(erasures).where(erasures.c.organisation == organisation)
    if before is not None:
        moment, id_ = before
        query = query.where(
            (erasures.c.requested_at < moment) | ((erasures.c.requested_at == moment) & (erasures.c.id < id_))
        )
    rows = connection.execute(query.order_by(erasures.c.requested_at.desc(), erasures.c.id.desc()).limit(limit))
    return [_stored(row) for row in rows]


def erasure_at(connection: Connection, place: bytes) -> StoredErasure | None:
    """Give the erasure of the person at a place, None if there was none."""
    row = connection.execute(select(erasures).where(erasures.c.place == place)).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Row[Any]) -> StoredErasure:
    return StoredErasure(
        id=row.id,
        organisation=row.organisation,
        pseudonym=row.pseudonym,
        legal_basis=row.legal_basis,
        key_id=row.key_id,
        requested_at=from_millis(row.requested_at),
        state=ErasureState(row.state),
        erased=row.erased,
        held_back=row.held_back,
        matters=tuple(json.loads(row.matters)),
        seq=row.seq,
        scrubbed_at=None if row.scrubbed_at is None else from_millis(row.scrubbed_at),
    )
