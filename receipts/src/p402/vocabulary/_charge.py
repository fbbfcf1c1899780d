"""One priced, attributed call: the record that all parts exchange."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from p402.vocabulary._attribution import Attribution
from p402.vocabulary._money import Money
from p402.vocabulary._usage import Usage

__all__ = ["Charge", "PriceReference", "UsageSource"]


class UsageSource(StrEnum):
    """Who counted the tokens."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class PriceReference:
    """The price list a charge was computed from, so that it can be computed again."""

    book: str
    """Name and version of the price book, for example ``genai-prices/0.2.3``."""
    sha256: str
    """Hex digest of the book's content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One call of a model, priced and attributed. Charges are only ever added."""

    trace_id: str
    """32 hex digits (W3C Trace Context)."""
    span_id: str
    """16 hex digits."""
    request: str
    """Id of the logical call, the seventh level; retries of one call share it."""
    attribution: Attribution
    started_at: datetime
    ended_at: datetime
    provider: str
    """``gen_ai.provider.name``."""
    operation: str
    """``gen_ai.operation.name``."""
    request_model: str | None
    response_model: str | None
    response_id: str | None
    usage: Usage
    usage_source: UsageSource
    cost: Money | None
    """None when the call could not be priced; never zero in its stead."""
    unpriced_reason: str | None
    price: PriceReference | None
    rationale: str | None = None
    """Why this model was used, for example ``complexity=7, dept_policy=quality-first``."""
    task_type: str | None = None
    verdict: str | None = None
    """What was decided about the call before it was made, such as ``clamp``; None if nobody was asked."""
    service_tier: str | None = None
    """How the provider served the call, where that is known: ``standard``, ``flex``, ``priority``, ``fast``, ``batch``, or
    the provider's own word for another. It changes the price."""

    complexity: int | None = None
    """0 (trivial) to 10, computed by the service from the request's shape; None where nobody did."""
    data_class: str | None = None
    """How confidential the content is, in the organisation's own words."""
    original_model: str | None = None
    """The model that the application had asked for, where a decision put another in its place."""
    first_chunk_ms: int | None = None
    """Milliseconds until the first part of a streamed answer, where somebody measured that."""

    @property
    def model(self) -> str:
        """The model that answered, else the one that was asked for, else ``unknown``."""
        return self.response_model or self.request_model or "unknown"
