"""The queue of spans for viewers: implements `forwarding.ports.ForwardQueue`.

A request is put into the queue by the change that records its charges, so an acknowledged span is sent on, and one that was
not acknowledged is not sent twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection, delete, func, select, update

from p402.collector.forwarding.ports import Batch, SpanPlace
from p402.collector.pipeline.records import Forwarded
from p402.collector.storage.budget_tables import decisions
from p402.collector.storage.charge_rows import charge_of, from_millis, to_millis
from p402.collector.storage.charges import charges_joined
from p402.collector.storage.database import Database
from p402.collector.storage.driver import Driver, upsert
from p402.collector.storage.forward_tables import forward_batches, forward_places
from p402.collector.storage.tables import charges, set_aside
from p402.collector.storage.trace_costs import TraceCosts, costs_of_trace
from p402.decisions import Question
from p402.exporters.otlp import Facts

__all__ = ["SqlForwardQueue", "keep_for_forwarding"]

_AT_ONCE = 500  # keys of one query
_MOST_BATCHES = 256  # of one look
_REMEMBERED = timedelta(minutes=10)  # how long a request may be sent again by its sender
_INSERT = (
    "INSERT INTO forward_batches (digest, spans, bytes, body, recorded_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)


def keep_for_forwarding(sql: Driver, forwarded: Forwarded, at: datetime) -> None:
    """Put a request into the queue, inside the change that records its charges."""
    body = forwarded.body
    sql.execute(_INSERT, (sha256(body).digest(), forwarded.spans, len(body), body, to_millis(at)))


class SqlForwardQueue:
    """The queue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next(self, backend: str, at_most_bytes: int) -> list[Batch]:
        """Give the next batches for a backend."""
        return await self._database.read(lambda connection: _next(connection, backend, at_most_bytes))

    async def facts(self, places: Sequence[SpanPlace]) -> Mapping[bytes, Facts]:
        """Give what the ledger knows of spans."""
        return await self._database.read(lambda connection: _facts(connection, places))

    async def passed(self, backend: str, seq: int) -> None:
        """Note how far a backend is."""

        def change(connection: Connection) -> None:
            place = upsert(connection, forward_places).values(backend=backend, seq=seq)
            moved = {"seq": place.excluded.seq}
            connection.execute(place.on_conflict_do_update(index_elements=["backend"], set_=moved))

        await self._database.write(change)

    async def tidy(self, backends: Sequence[str], at_most_bytes: int, at: datetime) -> Mapping[str, int]:
        """Forget what is not needed any more; nothing is written when there is nothing to forget."""
        if not await self._database.read(lambda connection: _is_untidy(connection, backends, at_most_bytes, at)):
            return {}
        return await self._database.write(lambda connection: _tidy(connection, backends, at_most_bytes, at))

    async def clear(self) -> None:
        """Forget everything; nothing is written when there is nothing."""
        query = select(forward_batches.c.seq).limit(1)
        if await self._database.read(lambda connection: connection.execute(query).first()) is not None:
            await self._database.write(lambda connection: connection.execute(delete(forward_batches)).rowcount)

    async def waiting(self, backends: Sequence[str]) -> Mapping[str, int]:
        """Count what waits."""

        def query(connection: Connection) -> dict[str, int]:
            places = _places(connection, backends)
            return {name: _spans(connection, after=seq) for name, seq in places.items()}

        return await self._database.read(query)


def _next(connection: Connection, backend: str, at_most_bytes: int) -> list[Batch]:
    after = _places(connection, [backend])[backend]
    query = (
        select(forward_batches)
        .where(forward_batches.c.seq > after, forward_batches.c.body.is_not(None))
        .order_by(forward_batches.c.seq)
        .limit(_MOST_BATCHES)
    )
    found: list[Batch] = []
    size = 0
    with connection.execution_options(yield_per=8).execute(query) as rows:
        for row in rows:
            size += row.bytes
            if found and size > at_most_bytes:
                break
            found.append(Batch(row.seq, row.body, row.spans, from_millis(row.recorded_at)))
    return found


def _facts(connection: Connection, places: Sequence[SpanPlace]) -> dict[bytes, Facts]:
    found: dict[bytes, Facts] = {}
    for keys in _pieces([place.key for place in places]):
        for charged in connection.execute(charges_joined().where(charges.c.span_key.in_(keys))).mappings():
            charge = charge_of(dict(charged))
            found[charged["span_key"]] = Facts(charge=charge, attribution=charge.attribution)
        others = (
            select(set_aside.c.span_key, charges.c.span_key.label("charged"))
            .join(charges, charges.c.seq == set_aside.c.charge_seq)
            .where(set_aside.c.span_key.in_(keys), set_aside.c.reason == "duplicate")
        )
        for row in connection.execute(others):
            found.setdefault(row.span_key, Facts(duplicate_of=row.charged))
    for keys in _pieces([place.key for place in places if place.is_refused and place.key not in found]):
        for row in connection.execute(select(decisions).where(decisions.c.span_key.in_(keys))):
            attribution = Question.from_wire(json.loads(row.question)).attribution
            found[row.span_key] = Facts(attribution=attribution, refused=True)
    return _with_costs_around(connection, found, places)


def _with_costs_around(
    connection: Connection, found: dict[bytes, Facts], places: Sequence[SpanPlace]
) -> dict[bytes, Facts]:
    """Add what is known of spans around charged calls."""
    known: dict[bytes, TraceCosts | None] = {}
    for place in places:
        facts, trace_id = found.get(place.key, Facts()), place.key[:16]
        if facts.charge is not None and not place.is_root:
            continue
        if trace_id not in known:
            known[trace_id] = costs_of_trace(connection, trace_id)
        if (costs := known[trace_id]) is None:
            continue
        below = costs.below.get(place.key[16:]) if facts.charge is None else None
        if place.is_root or below is not None:
            found[place.key] = replace(facts, below=below, trace_total=costs.total if place.is_root else None)
    return found


def _tidy(connection: Connection, backends: Sequence[str], at_most_bytes: int, at: datetime) -> dict[str, int]:
    places = _places(connection, backends)
    done = min(places.values(), default=0)
    taken = forward_batches.c.seq <= done
    connection.execute(
        update(forward_batches).where(taken, forward_batches.c.body.is_not(None)).values(body=None, bytes=0)
    )
    old = forward_batches.c.recorded_at < to_millis(at - _REMEMBERED)
    connection.execute(delete(forward_batches).where(taken, old, forward_batches.c.seq < _newest(connection)))
    return _shrink(connection, places, at_most_bytes)


def _is_untidy(connection: Connection, backends: Sequence[str], at_most_bytes: int, at: datetime) -> bool:
    done = min(_places(connection, backends).values(), default=0)
    old = forward_batches.c.recorded_at < to_millis(at - _REMEMBERED)
    taken = forward_batches.c.seq <= done
    forgettable = taken & (forward_batches.c.body.is_not(None) | (old & (forward_batches.c.seq < _newest(connection))))
    if connection.execute(select(forward_batches.c.seq).where(forgettable).limit(1)).first() is not None:
        return True
    return int(connection.execute(select(func.sum(forward_batches.c.bytes))).scalar() or 0) > at_most_bytes


def _newest(connection: Connection) -> int:
    """Give the last batch's number; it stays, since SQLite gives the number of the last row again when that is gone."""
    return int(connection.execute(select(func.max(forward_batches.c.seq))).scalar() or 0)


def _shrink(connection: Connection, places: Mapping[str, int], at_most_bytes: int) -> dict[str, int]:
    """Give up the oldest batches until the rest fits."""
    excess = int(connection.execute(select(func.sum(forward_batches.c.bytes))).scalar() or 0) - at_most_bytes
    lost = dict.fromkeys(places, 0)
    if excess <= 0:
        return lost
    query = select(forward_batches.c.seq, forward_batches.c.bytes, forward_batches.c.spans)
    last = 0
    for row in connection.execute(query.where(forward_batches.c.bytes > 0).order_by(forward_batches.c.seq)):
        if excess <= 0:
            break
        excess -= row.bytes
        last = row.seq
        for name, seq in places.items():
            if row.seq > seq:
                lost[name] += row.spans
    connection.execute(update(forward_batches).where(forward_batches.c.seq <= last).values(body=None, bytes=0))
    return lost


def _places(connection: Connection, backends: Sequence[str]) -> dict[str, int]:
    known = connection.execute(select(forward_places).where(forward_places.c.backend.in_(backends)))
    return dict.fromkeys(backends, 0) | {row.backend: row.seq for row in known}


def _spans(connection: Connection, after: int) -> int:
    waiting = forward_batches.c.seq > after, forward_batches.c.body.is_not(None)
    return int(connection.execute(select(func.sum(forward_batches.c.spans)).where(*waiting)).scalar() or 0)


def _pieces(keys: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))
