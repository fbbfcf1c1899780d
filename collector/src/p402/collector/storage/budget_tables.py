"""The tables of budgets, leases and decisions; the rest is in `tables`.

Amounts are counted by the budget's measure: nano-USD, tokens, requests or calls under way. Times are UTC milliseconds.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from p402.collector.storage.tables import metadata

__all__ = [
    "alerts",
    "audit",
    "budget_accounts",
    "budgets",
    "decisions",
    "lease_holds",
    "leases",
    "overrides",
    "overruns",
    "rule_versions",
]

_Number = BigInteger().with_variant(Integer, "sqlite")  # as in `tables`

rule_versions = Table(  # grows with each change of budgets, policies or keys, so that those who remember look again
    "rule_versions",
    metadata,
    Column("organisation", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("name", String, nullable=False),
    Column("definition", String, nullable=False),  # JSON as the API takes it
    Column("made_at", BigInteger, nullable=False),  # what was recorded before, an account begins with
    Column("changed_at", BigInteger, nullable=False),
    Column("retired_at", BigInteger),
)

_IN_FORCE = budgets.c.retired_at.is_(None)
Index(
    "budgets_in_force",
    budgets.c.organisation,
    budgets.c.name,
    unique=True,
    sqlite_where=_IN_FORCE,
    postgresql_where=_IN_FORCE,
)

overrides = Table(  # break-glass: more than the cap, for a while
    "overrides",
    metadata,
    Column("id", String, primary_key=True),
    Column("budget_id", ForeignKey("budgets.id"), nullable=False, index=True),
    Column("amount", BigInteger, nullable=False),
    Column("owner", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

budget_accounts = Table(
    "budget_accounts",
    metadata,
    Column("budget_id", ForeignKey("budgets.id"), primary_key=True),
    Column("node", String, primary_key=True),
    Column("period_start", BigInteger, primary_key=True),  # of the budget; see budgets/period.py
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("unreconciled", BigInteger, nullable=False),
    Index("accounts_of_period", "budget_id", "period_start"),
)

leases = Table(
    "leases",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),  # lease, decision, authorize
    Column("state", String, nullable=False),  # open, unreconciled, closed
    Column("key_id", String, nullable=False),  # "": somebody on this machine
    Column("organisation", String, nullable=False),
    Column("attribution", String, nullable=False),  # JSON: the levels that budgets look at
    Column("calls", Integer, nullable=False),  # charges that have come
    Column("opened_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("leases_to_expire", "state", "expires_at"),
)

lease_holds = Table(
    "lease_holds",
    metadata,
    Column("lease_id", ForeignKey("leases.id"), primary_key=True),
    Column("budget_id", ForeignKey("budgets.id"), primary_key=True),
    Column("node", String, nullable=False),
    Column("period_start", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("counts_until", BigInteger),  # when the calls under it count no more, even if nothing is known of them
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", String, primary_key=True),
    Column("organisation", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("idempotency_key", String),
    Column("decided_at", BigInteger, nullable=False),
    Column("question", String, nullable=False),  # JSON, see p402.decisions.Question
    Column("verdict", String, nullable=False),
    Column("code", String, nullable=False),
    Column("rationale", String, nullable=False),
    Column("model", String, nullable=False),
    Column("output_tokens", Integer),
    Column("would", String),
    Column("lease_id", ForeignKey("leases.id")),
    Column("span_key", LargeBinary),  # of a decision that was made by the holder of a lease
    UniqueConstraint("key_id", "idempotency_key"),
    UniqueConstraint("span_key"),
    Index("decisions_of_organisation", "organisation", "decided_at"),
)

overruns = Table(  # what was spent beyond a cap: facts are recorded, not refused
    "overruns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("budget_id", ForeignKey("budgets.id"), nullable=False, index=True),
    Column("node", String, nullable=False),
    Column("period_start", BigInteger, nullable=False),
    Column("span_key", LargeBinary, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("reason", String, nullable=False),  # see storage/postings.py
    Column("recorded_at", BigInteger, nullable=False),
)

audit = Table(  # who changed what about budgets and policies, and why
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("organisation", String, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String, nullable=False),  # an API key's id; "": somebody on this machine
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", String, nullable=False),  # JSON
)

alerts = Table(
    "alerts",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("organisation", String, nullable=False),
    Column("kind", String, nullable=False),  # threshold, projected
    Column("budget_id", ForeignKey("budgets.id"), nullable=False),
    Column("node", String, nullable=False),
    Column("period_start", BigInteger, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),  # spent, or projected
    Column("cap", BigInteger, nullable=False),
    Column("reached_on", String),  # the day on which the cap is expected to be reached
    Column("raised_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    Column("resolved_by", String),
    Column("note", String),
    UniqueConstraint("budget_id", "node", "period_start", "kind", "percent"),
    Index("alerts_of_organisation", "organisation", "seq"),
)
