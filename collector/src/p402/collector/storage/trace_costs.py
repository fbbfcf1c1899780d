"""What the calls of a trace cost: in total, and below each span that lies around some, such as an agent or a step of its work.

Charges know their parents; what lies between is among the links of `lineage.py` for an hour, which is longer than viewers
are behind, unless they are away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from p402.collector.storage.lineage import trace_as_known_to
from p402.collector.storage.tables import charges, span_links
from p402.vocabulary import Money

__all__ = ["TraceCosts", "costs_of_trace"]

_MOST = 2_000  # calls of a trace that are looked at one by one; a larger one has a total only
_DEEPEST = 64
_ANY_SPAN = b"\xff" * 8


@dataclass(frozen=True, slots=True)
class TraceCosts:
    """So far, by what is recorded."""

    total: Money
    below: Mapping[bytes, Money] = field(default_factory=dict)
    """By the id of a span that lies around charged calls."""


def costs_of_trace(connection: Connection, trace_id: bytes) -> TraceCosts | None:
    """Sum the charges of a trace; None if there are none."""
    within = charges.c.span_key.between(trace_id + bytes(8), trace_id + _ANY_SPAN)
    count, total = connection.execute(select(func.count(), func.sum(charges.c.cost_nano_usd)).where(within)).one()
    if not count:
        return None
    if count > _MOST:
        return TraceCosts(Money(int(total or 0)))
    query = select(charges.c.parent_span_id, charges.c.key_id, charges.c.cost_nano_usd).where(within)
    parents: dict[str | None, Mapping[bytes, bytes]] = {}
    below: dict[bytes, int] = {}
    for parent, key_id, cost in connection.execute(query):
        if key_id not in parents:
            parents[key_id] = _parents(connection, trace_as_known_to(trace_id, key_id))
        around, at = parents[key_id], parent
        for _ in range(_DEEPEST):
            if at is None:
                break
            below[at] = below.get(at, 0) + (cost or 0)
            at = around.get(at)
    return TraceCosts(Money(int(total or 0)), {span_id: Money(cost) for span_id, cost in below.items()})


def _parents(connection: Connection, trace: bytes) -> Mapping[bytes, bytes]:
    """Give the parents of the spans that were no charges, by their ids."""
    query = select(span_links.c.span, span_links.c.parent).where(
        span_links.c.span.between(trace, trace + _ANY_SPAN), span_links.c.parent.is_not(None)
    )
    return {span[8:]: parent[8:] for span, parent in connection.execute(query.limit(_MOST * 8))}
