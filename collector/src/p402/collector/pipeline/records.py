"""The shapes a call passes through: a span as it arrived, a model call, an attributed call, a charge to record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from p402.vocabulary import Attribution, Charge, Level, Usage, UsageSource

__all__ = [
    "DECISION_PREFIX",
    "MAX_TOKENS",
    "Attributed",
    "EventRecord",
    "Forwarded",
    "ModelCall",
    "NotCharged",
    "OtherSpan",
    "Recordable",
    "Refused",
    "SkipReason",
    "SpanRecord",
    "WithoutUsage",
]

MAX_TOKENS = 10**9
"""More than any call can have. A count is cut to it, so that sums fit in 64 bits, and such a call has no price."""


DECISION_PREFIX = "dec_"
"""What the id of a decision begins with: of a hold that is for one call, so that one charge at most comes of it."""


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span as it arrived; ids are raw bytes, times are nanoseconds since 1970."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    name: str
    started_ns: int
    ended_ns: int
    failed: bool
    scope: str
    """Name of the instrumentation that made it."""
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]

    @property
    def key(self) -> bytes:
        """The span's identity: 16 bytes of trace id and 8 of span id."""
        return self.trace_id + self.span_id


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One log record as it arrived; ids are raw bytes, and empty where it has none."""

    name: str
    """Of an event; empty for a plain log record."""
    at_ns: int
    """Nanoseconds since 1970; 0 if it does not say."""
    trace_id: bytes
    span_id: bytes
    scope: str
    """Name of what made it."""
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


class SkipReason(StrEnum):
    """Why a span is not a call to charge."""

    NOT_INFERENCE = "not_inference"
    """Nothing to do with a model, or a wrapper around calls (an agent, a tool, a workflow)."""
    FAILED = "failed"
    """The call failed and reported no usage; providers do not bill such calls."""
    REFUSED = "refused"
    """The call was never made: a budget or a policy forbade it."""
    NO_USAGE = "no_usage"
    """A model call that succeeded but whose span carries no usage: seen, kept apart, not priced."""


@dataclass(frozen=True, slots=True)
class NotCharged:
    """A span that is not charged, and why."""

    span: SpanRecord
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """A span read as one call of a model, whatever dialect it was written in."""

    span: SpanRecord
    provider: str
    operation: str
    request_model: str | None
    response_model: str | None
    response_id: str | None
    usage: Usage
    usage_source: UsageSource
    request: str
    rationale: str | None
    task_type: str | None
    service_tier: str | None
    """As in `Charge.service_tier`."""
    complexity: int | None
    data_class: str | None
    verdict: str | None
    """As in `Charge.verdict`."""
    lease_id: str | None
    """The lease or the single decision that holds the money for the call."""
    original_model: str | None = None
    """As in `Charge.original_model`."""
    first_chunk_ms: int | None = None
    """As in `Charge.first_chunk_ms`."""


@dataclass(frozen=True, slots=True)
class Attributed:
    """Who a call was for, and how far down the collector itself vouches for it."""

    attribution: Attribution
    verified_through: Level | None
    """The deepest level, counted from the top without a gap, that the API key is bound to; None: all asserted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordable:
    """A charge and what the ledger must know to count its call once."""

    charge: Charge
    span: SpanRecord
    verified_through: Level | None
    key_id: str | None
    call_key: bytes | None
    """Digest of the provider's own id for the answer, see `pipeline.price.call_key`; None when there is none."""
    may_nest: bool
    """Whether another span of the same call may lie around or inside this one."""
    lease_id: str | None = None
    """As in `ModelCall.lease_id`."""
    ours: bool
    """Whether our own instrumentation made the span, at the HTTP request itself: inside all others."""


@dataclass(frozen=True, slots=True)
class WithoutUsage:
    """A model call that succeeded but reported no usage: kept apart, counted, not priced."""

    span: SpanRecord
    organisation: str
    key_id: str | None = None
    attribution: Attribution | None = None
    """Looked at when spans are sent on; None where they are not."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that was not made, because whoever held a lease decided so by the rules."""

    span: SpanRecord
    attribution: Attribution
    key_id: str | None


@dataclass(frozen=True, slots=True)
class OtherSpan:
    """A span that is no call to charge; the ledger remembers for a while where in its trace it was."""

    span: SpanRecord
    key_id: str | None
    attribution: Attribution | None = None
    """As in `WithoutUsage.attribution`."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A request that is to be sent on to viewers of traces."""

    body: bytes
    """An encoded ``ExportTraceServiceRequest``, without content unless that may leave."""
    spans: int
