"""What the API shows of decisions, leases, overruns and the audit trail, and how it is asked: plain JSON values (pure)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.budget_views import measure_in
from p402.collector.api.fields import Count, Id, Json, Levels, Node, SpanId, Time, TraceId, levels_view, shape
from p402.collector.api.query import DIGITS, Cursor, Limit, Query
from p402.collector.budgets.definition import show_amount
from p402.collector.storage.decision_rows import Decided
from p402.collector.storage.driver import Driver
from p402.collector.storage.leases import Lease, LeaseKind, LeaseState
from p402.collector.storage.oversight import Overrun, holds_by_budget
from p402.decisions import Code, Verdict
from p402.vocabulary import rfc3339

__all__ = [
    "NEWEST",
    "AuditPage",
    "AuditView",
    "DecisionPage",
    "DecisionsQuery",
    "LeasePage",
    "LeaseView",
    "LeasesQuery",
    "NewestFirst",
    "OverrunPage",
    "StoredDecision",
    "lease_view",
    "overrun_view",
    "stored_decision_view",
]

NEWEST = 2**62
"""Above every id."""


class DecisionsQuery(Query):
    """Which decisions."""

    verdict: Verdict | None = None
    after: Cursor | None = None
    limit: Limit = 100


class LeasesQuery(Query):
    """Which leases."""

    state: Annotated[LeaseState | None, Field(description="Default: open and unreconciled ones.")] = None
    after: Cursor | None = None
    limit: Limit = 100


class NewestFirst(Query):
    """One page of a list that begins with what came last."""

    after: Annotated[int, Field(ge=0, le=NEWEST, description="Goes on with what came before this one."), DIGITS] = (
        NEWEST
    )
    limit: Limit = 100


@shape
class StoredDecision(TypedDict):
    """What was decided about a call."""

    id: Id
    decided_at: Time
    question: Json
    """The call that was asked about; what is as by default is left out."""
    verdict: Verdict
    code: Code
    rationale: str
    model: str
    output_tokens: int | None
    would: str | None
    lease: Id | None


@shape
class DecisionPage(TypedDict):
    """Decisions, the newest first."""

    decisions: list[StoredDecision]
    next_after: str | None


@shape
class HoldView(TypedDict):
    """What is held of a budget."""

    budget: str
    node: Node
    remaining: str


class LeaseView(Levels):
    """Who holds money, and how much."""

    id: Id
    kind: LeaseKind
    state: LeaseState
    key_id: Id | None
    calls: Count
    opened_at: Time
    expires_at: Time
    holds: list[HoldView]


@shape
class LeasePage(TypedDict):
    """Leases by when they expire."""

    leases: list[LeaseView]
    next_after: str | None


@shape
class OverrunView(TypedDict):
    """What was spent beyond a cap."""

    id: int
    budget: str
    node: Node
    period_start: Time
    trace_id: TraceId
    span_id: SpanId
    amount: str
    reason: str
    recorded_at: Time


@shape
class OverrunPage(TypedDict):
    """What was spent beyond caps, the newest first."""

    overruns: list[OverrunView]
    next_after: int | None


@shape
class AuditView(TypedDict):
    """Who changed what, and why."""

    id: int
    at: Time
    actor: Id | None
    """The key; null: somebody on the collector's machine."""
    action: str
    subject: str
    detail: Json


@shape
class AuditPage(TypedDict):
    """Changes of rules, the newest first."""

    audit: list[AuditView]
    next_after: int | None


def stored_decision_view(decided: Decided) -> StoredDecision:
    """Show a decision that was made."""
    decision = decided.decision
    return {
        "id": decided.id,
        "decided_at": rfc3339(decided.decided_at),
        "question": dict(decided.question),
        "verdict": decision.verdict,
        "code": decision.code,
        "rationale": decision.rationale,
        "model": decision.model,
        "output_tokens": decision.output_tokens,
        "would": decision.would,
        "lease": decided.lease_id,
    }


def lease_view(sql: Driver, lease: Lease) -> LeaseView:
    """Show a lease with what it holds."""
    return {
        "id": lease.id,
        "kind": lease.kind,
        "state": lease.state,
        "key_id": lease.key_id or None,
        **levels_view(lease.attribution),
        "calls": lease.calls,
        "opened_at": rfc3339(lease.opened_at),
        "expires_at": rfc3339(lease.expires_at),
        "holds": [
            {"budget": name, "node": node, "remaining": show_amount(measure_in(definition), remaining)}
            for name, definition, node, remaining in holds_by_budget(sql, lease.id)
        ],
    }


def overrun_view(overrun: Overrun) -> OverrunView:
    """Show what was spent beyond a cap."""
    return {
        "id": overrun.id,
        "budget": overrun.budget,
        "node": overrun.node,
        "period_start": rfc3339(overrun.period_start),
        "trace_id": overrun.span_key[:16].hex(),
        "span_id": overrun.span_key[16:].hex(),
        "amount": show_amount(measure_in(overrun.definition), overrun.amount),
        "reason": overrun.reason,
        "recorded_at": rfc3339(overrun.recorded_at),
    }
