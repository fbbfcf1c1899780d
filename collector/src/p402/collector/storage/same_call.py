"""Finds the charge of the call that a span reports, when another span of that call was charged before.

In this order: the same answer of the provider (its response id), nesting within the trace (`lineage`), and, where the
spans between are not known, one span running within the time of the other. Nesting and time are only looked at among the
charges of the same API key and organisation; a response id is theirs anyway (`pipeline.price.call_key`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from p402.collector.pipeline.records import DECISION_PREFIX, Recordable
from p402.collector.storage.charge_rows import USAGE_COLUMNS, to_millis
from p402.collector.storage.driver import Driver
from p402.collector.storage.lineage import relatives, reported_before, reported_by

__all__ = ["Known", "charge_of_same_call", "charge_of_span", "free_answer_key"]


class Known(NamedTuple):
    """What a charge in the books says about its call."""

    seq: int
    key_id: str | None
    span_key: bytes
    call_key: bytes | None
    response_id: str | None
    model_id: int
    started_at: int
    ended_at: int
    cost_nano_usd: int | None
    service_tier: str | None
    usage: tuple[int, ...]

    def contradicts(self, call: Recordable) -> bool:
        """Tell whether a report claims another usage, another service tier, or a dearer call, than what is charged.

        A report may leave details out, but not if it would cost more without them: no forged early span shall hide what
        the real one costs.
        """
        claimed, cost = _usage(call), call.charge.cost
        if claimed[:2] != self.usage[:2]:
            return True
        if any(detail not in (0, known) for detail, known in zip(claimed, self.usage, strict=True)):
            return True
        if call.charge.service_tier is not None and call.charge.service_tier != (self.service_tier or "standard"):
            return True
        return cost is not None and (self.cost_nano_usd is None or cost.nano_usd > self.cost_nano_usd)


_COLUMNS = (
    "charges.seq, key_id, span_key, call_key, response_id, model_id, started_at, ended_at, cost_nano_usd, service_tier"
)
_SELECT = f"SELECT {_COLUMNS}, {', '.join(USAGE_COLUMNS)} FROM charges JOIN scopes ON scopes.id = scope_id WHERE "
_USAGE_AT = 10


def charge_of_span(driver: Driver, call: Recordable) -> Known | None:
    """Find the charge of the very same span, whoever sent it."""
    return next(_select(driver, "span_key = ?", call.span.key), None)


def charge_of_same_call(driver: Driver, call: Recordable) -> Known | None:
    """Find the charge of the call that a span reports; None when nothing tells that there is one."""
    if (seq := reported_before(driver, call.span, call.key_id)) is not None:
        return next(_select(driver, "charges.seq = ?", seq))
    return _by_decision(driver, call) or _by_answer(driver, call) or _by_nesting(driver, call) or _by_time(driver, call)


def free_answer_key(driver: Driver, call: Recordable) -> bytes | None:
    """Give the key under which the call's answer can be charged; None without response id, or if both are taken."""
    for key in _answer_keys(call):
        if next(_select(driver, "call_key = ?", key), None) is None:
            return key
    return None


def _answer_keys(call: Recordable) -> tuple[bytes, ...]:
    """Give the key of the answer, and the one it gets when a server used the same id before, for another answer."""
    if call.call_key is None:
        return ()
    return call.call_key, hashlib.sha256(call.call_key + call.span.trace_id).digest()[:16]


def _by_decision(driver: Driver, call: Recordable) -> Known | None:
    """Find what was charged for the one call that a decision let go ahead, by a settlement or by a span."""
    if call.lease_id is None or not call.lease_id.startswith(DECISION_PREFIX):
        return None
    return next(_select(driver, f"lease_id = ? AND {_SAME_SENDER}", call.lease_id, *_sender(call)), None)


def _by_answer(driver: Driver, call: Recordable) -> Known | None:
    for key in _answer_keys(call):
        for known in _select(driver, "call_key = ?", key):
            same_trace = known.span_key[:16] == call.span.trace_id
            if same_trace or (known.started_at <= _ended(call) and known.ended_at >= _started(call)):
                return known
    return None


def _by_nesting(driver: Driver, call: Recordable) -> Known | None:
    """Find the charge that a span around or inside this one reports; the one that it agrees with, if there are several.

    Two response ids are two calls (the attempts inside the span of a retrying client), unless the one charged span lies
    directly in the other and both agree: then a gateway between them gave the answer an id of its own.
    """
    disagreeing = None
    for seq, reporter in relatives(driver, call.span, call.key_id):
        for known in _select(driver, f"charges.seq = ? AND {_SAME_SENDER}", seq, *_sender(call)):
            contradicts = known.contradicts(call)
            if known.call_key is not None and call.call_key is not None:
                renamed = known.response_id is not None and known.span_key[16:] == reporter
                if contradicts or not renamed:
                    continue
            if not contradicts:
                return known
            disagreeing = known
    return disagreeing


def _by_time(driver: Driver, call: Recordable) -> Known | None:
    """Find, in the same trace, a charge of the same usage during whose call this one ran, or the other way round.

    This is for spans between them that nobody sent. One of the two must have no response id, and each instrumentation
    reports a call once: two calls alike, at the same time, stay two.
    """
    span, usage = call.span, _usage(call)
    condition = (
        f"span_key BETWEEN ? AND ? AND {_SAME_SENDER} AND input_tokens = ? AND output_tokens = ?"
        " AND (started_at <= ? AND ended_at >= ? OR started_at >= ? AND ended_at <= ?)"
    )
    times = (_started(call), _ended(call)) * 2
    within_trace = (span.trace_id, span.trace_id + b"\xff" * 8)
    reports = reported_by(driver, span, call.key_id)
    charged_to_others = {seq for seq, _ in reports}
    for known in _select(driver, condition, *within_trace, *_sender(call), *usage[:2], *times):
        told_apart = known.call_key is not None and call.call_key is not None
        reported = (known.seq, span.scope) in reports or (call.ours and known.seq not in charged_to_others)
        if not told_apart and not reported and not known.contradicts(call):
            return known
    return None


_SAME_SENDER = "key_id IS ? AND organisation = ?"


def _sender(call: Recordable) -> tuple[str | None, str]:
    return call.key_id, call.charge.attribution.organisation or ""


def _select(driver: Driver, condition: str, *values: object) -> Iterator[Known]:
    for row in driver.execute(f"{_SELECT}{condition} ORDER BY charges.seq", values).fetchall():
        yield Known._make((*row[:_USAGE_AT], tuple(row[_USAGE_AT:])))


def _usage(call: Recordable) -> tuple[int, ...]:
    return tuple(getattr(call.charge.usage, name) for name in USAGE_COLUMNS)


def _started(call: Recordable) -> int:
    return to_millis(call.charge.started_at)


def _ended(call: Recordable) -> int:
    return to_millis(call.charge.ended_at)
