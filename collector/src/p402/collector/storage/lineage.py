"""Which span lies inside which: so that several spans about one call find each other, whatever lies between them.

Charges know their own parents. Every other span of a trace (a wrapper, an HTTP request, a report that was set aside) is a
*link* here for an hour. The spans of one sender never touch those of another: the identity of a link begins with a digest
of the API key and the trace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from p402.collector.pipeline.records import SpanRecord
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.driver import Driver

__all__ = [
    "Link",
    "depths",
    "has_links",
    "knows_trace",
    "relatives",
    "remember",
    "reported_before",
    "reported_by",
    "trace_as_known_to",
    "trace_of",
]

KEPT = timedelta(hours=1)
"""How long links last; spans of one call that arrive further apart are told by the response id only."""

_DEEPEST, _MOST = 64, 256  # steps up, and spans looked at on the way down: bounds the work for one span

Link = tuple[SpanRecord, str | None, int | None]
"""A span, its sender's key id, and the charge whose call it reports, if any."""

_ANY_SPAN = b"\xff" * 8


def remember(driver: Driver, links: Iterable[Link], at: datetime) -> None:
    """Keep links, and let go of old ones, twice as many at most."""
    now = to_millis(at)
    rows = []
    for span, key_id, charge_seq in links:
        trace = trace_of(span, key_id)
        parent = trace + span.parent_span_id if span.parent_span_id else None
        rows.append((trace + span.span_id, parent, charge_seq, span.scope if charge_seq else None, now))
    driver.executemany(
        "INSERT INTO span_links (span, parent, charge_seq, scope, recorded_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        rows,
    )
    driver.execute(
        "DELETE FROM span_links WHERE id IN (SELECT id FROM span_links ORDER BY id LIMIT ?) AND recorded_at < ?",
        (2 * len(rows), to_millis(at - KEPT)),
    )


def trace_of(span: SpanRecord, key_id: str | None) -> bytes:
    """Identify a trace as one sender knows it."""
    return trace_as_known_to(span.trace_id, key_id)


def trace_as_known_to(trace_id: bytes, key_id: str | None) -> bytes:
    """Identify a trace as one sender knows it, by its id."""
    return hashlib.sha256((key_id or "").encode() + b"\0" + trace_id).digest()[:8]


def has_links(driver: Driver) -> bool:
    """Tell whether there are any links; none where all spans are our own."""
    return driver.execute("SELECT 1 FROM span_links LIMIT 1").fetchone() is not None


def knows_trace(driver: Driver, span: SpanRecord, key_id: str | None) -> bool:
    """Tell whether there are links of the span's trace."""
    trace = trace_of(span, key_id)
    query = "SELECT 1 FROM span_links WHERE span BETWEEN ? AND ? LIMIT 1"
    return driver.execute(query, (trace, trace + _ANY_SPAN)).fetchone() is not None


def reported_by(driver: Driver, span: SpanRecord, key_id: str | None) -> set[tuple[int, str]]:
    """Give the charges of the span's trace whose calls others reported, each with the scope of a reporter."""
    trace = trace_of(span, key_id)
    query = "SELECT charge_seq, scope FROM span_links WHERE span BETWEEN ? AND ? AND charge_seq IS NOT NULL"
    return set(driver.execute(query, (trace, trace + _ANY_SPAN)))


def reported_before(driver: Driver, span: SpanRecord, key_id: str | None) -> int | None:
    """Give the charge whose call this very span was found to report when it came before."""
    query = "SELECT charge_seq FROM span_links WHERE span = ?"
    found = driver.execute(query, (trace_of(span, key_id) + span.span_id,)).fetchone()
    return found[0] if found else None


def relatives(driver: Driver, span: SpanRecord, key_id: str | None) -> Iterator[tuple[int, bytes]]:
    """Give the charges whose calls the nearest spans around and inside this one report, with the reporting span's id."""
    yield from _around(driver, span, key_id)
    yield from _inside(driver, span, key_id)


def _around(driver: Driver, span: SpanRecord, key_id: str | None) -> Iterator[tuple[int, bytes]]:
    trace, at = trace_of(span, key_id), span.parent_span_id
    for _ in range(_DEEPEST):
        if at is None:
            return
        found = driver.execute("SELECT parent, charge_seq FROM span_links WHERE span = ?", (trace + at,)).fetchone()
        if found is None:
            query = "SELECT NULL, seq FROM charges WHERE span_key = ? AND key_id IS ?"
            found = driver.execute(query, (span.trace_id + at, key_id)).fetchone() or (None, None)
        parent, seq = found
        if seq is not None:
            yield seq, at
            return
        at = parent[8:] if parent else None


def _inside(driver: Driver, span: SpanRecord, key_id: str | None) -> Iterator[tuple[int, bytes]]:
    trace, first, last = trace_of(span, key_id), span.trace_id, span.trace_id + _ANY_SPAN
    query = (
        "SELECT substr(span, 9), charge_seq FROM span_links WHERE parent = ? UNION ALL SELECT substr(span_key, 17), seq"
        " FROM charges WHERE parent_span_id = ? AND span_key BETWEEN ? AND ? AND key_id IS ?"
    )
    ahead, seen = [span.span_id], {span.span_id}
    while ahead and len(seen) <= _MOST:
        at = ahead.pop()
        for inner, seq in driver.execute(query, (trace + at, at, first, last, key_id)).fetchall():
            if inner not in seen:
                seen.add(inner)
                if seq is None:
                    ahead.append(inner)
                else:
                    yield seq, inner


def depths(spans: Iterable[SpanRecord]) -> Mapping[bytes, int]:
    """Count how many of the spans lie around each one, by the span's key."""
    parents = {span.key: span.trace_id + span.parent_span_id for span in spans if span.parent_span_id}
    found: dict[bytes, int] = {}
    for key in parents:
        depth, at = 0, key
        while at in parents and depth < _DEEPEST:
            depth, at = depth + 1, parents[at]
        found[key] = depth
    return found
