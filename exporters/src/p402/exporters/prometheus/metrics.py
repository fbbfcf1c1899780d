"""The collector's metrics. Labels are few and bounded: no employee, no session.

Prometheus counts in floating point, so these figures are for watching; the ledger has the exact ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import choose_encoder

from p402.exporters.prometheus.gen_ai import GenAiMetrics
from p402.exporters.prometheus.names import METRICS
from p402.exporters.prometheus.spend import SpendMetrics
from p402.vocabulary import NANO_PER_USD, Charge, Money

__all__ = ["MOST_NODES", "BudgetUse", "CollectorMetrics"]

MICRO_PER_USD = 1_000_000
MOST_NODES = 200
"""How many departments, projects and clients each have series of their own, unless somebody says otherwise."""
_MOST_BUDGETS = 500


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """How a budget stands: the node that has spent most of its cap."""

    organisation: str
    budget: str
    spent: float
    """Part of the cap; 1 is all of it."""
    elapsed: float
    """Part of the period that is over."""


class CollectorMetrics:
    """The collector's metrics, in a registry of their own.

    Args:
        most_nodes: how many departments, projects and clients each have series of their own.
    """

    def __init__(self, most_nodes: int = MOST_NODES) -> None:
        self._registry = CollectorRegistry()
        self._gen_ai = GenAiMetrics(self._registry)
        self._spend = SpendMetrics(self._registry, self._gen_ai, most_nodes)
        self._spans = self._counter("p402_spans_total", "outcome")
        self._requests = self._counter("p402_otlp_requests_total", "signal", "status")
        self._evaluations = self._counter("p402_evaluations_total")
        self._forwarded = self._counter("p402_forwarded_spans_total", "backend", "outcome")
        self._forward_backlog = self._gauge("p402_forward_backlog_spans", "backend")
        self._receipts = self._counter("p402_receipts_total")
        self._settlements = self._counter("p402_settlements_total", "state")
        self._settlement_fees = self._counter("p402_settlement_fees_usd_total")
        self._discrepancies = self._counter("p402_settlement_discrepancies_total", "kind")
        self._sessions = self._gauge("p402_sessions_open")
        self._anomalies = self._gauge("p402_anomalies_open")
        self._deliveries = self._counter("p402_event_deliveries_total", "outcome")
        self._decisions = self._counter("p402_decisions_total", "verdict", "code")
        self._decided: dict[tuple[str, str], Counter] = {}
        self._leases = self._gauge("p402_leases", "state")
        self._unreconciled = self._gauge("p402_unreconciled_usd")
        self._overruns = self._counter("p402_overruns_total", "reason")
        self._backlog = self._gauge("p402_event_backlog")
        self._budget_spent = self._gauge("p402_budget_spent_ratio", "organisation", "budget")
        self._budget_elapsed = self._gauge("p402_budget_elapsed_ratio", "organisation", "budget")
        self._storage = self._gauge("p402_storage_up")
        self._follower_lag = self._gauge("p402_follower_lag_charges", "follower")
        self._forward_lag = self._gauge("p402_forward_lag_seconds", "backend")
        self._unanchored = self._gauge("p402_receipts_unanchored")
        self._unanchored_seconds = self._gauge("p402_receipts_unanchored_seconds")
        self._in_doubt = self._gauge("p402_settlements_in_doubt")

        self._start_at_zero()

    def _start_at_zero(self) -> None:
        """Show what alerts wait for before it happens: Prometheus sees no increase in a series that begins at 1."""
        for outcome in ("rejected", "quarantined"):
            self._spans.labels(outcome=outcome)
        for reason in ("no_hold", "beyond_hold", "released", "cap_lowered"):
            self._overruns.labels(reason=reason)
        for kind in ("unknown_memo", "different", "paid_twice", "not_final", "missing"):
            self._discrepancies.labels(kind=kind)
        self._requests.labels(signal="traces", status="503")
        self._deliveries.labels(outcome="failed")
        self._settlements.labels(state="failed")

    def spans(self, outcomes: Mapping[str, int]) -> None:
        """Count spans by outcome."""
        for outcome, count in outcomes.items():
            self._spans.labels(outcome=outcome).inc(count)

    def otlp_request(self, signal: str, status: int) -> None:
        """Count one OTLP request (traces, metrics or logs)."""
        self._requests.labels(signal=signal, status=str(status)).inc()

    def evaluations(self, count: int) -> None:
        """Count evaluations of answers."""
        self._evaluations.inc(count)

    def charged(self, charges: Sequence[Charge], at: datetime) -> None:
        """Count new charges, which were recorded at a time."""
        self._spend.charged(charges, at.timestamp())

    def first_chunk(self, charge: Charge, seconds: float, at: datetime) -> None:
        """Count how long a streamed call, charged at a time, took to its first chunk."""
        self._gen_ai.first_chunk(charge, seconds, at.timestamp())

    def forwarded(self, backend: str, outcome: str, spans: int) -> None:
        """Count spans that were sent to a backend, or not; backends are those of the configuration."""
        self._forwarded.labels(backend=backend, outcome=outcome).inc(spans)

    def forward_backlog(self, backend: str, spans: int) -> None:
        """Say how many spans wait for a backend."""
        self._forward_backlog.labels(backend=backend).set(spans)

    def sealed(self) -> None:
        """Count one receipt."""
        self._receipts.inc()

    def settlement(self, state: str) -> None:
        """Count one settlement reaching a state."""
        self._settlements.labels(state=state).inc()

    def settlement_fee(self, micro_usd: int) -> None:
        """Count a settlement's part of a fee."""
        self._settlement_fees.inc(micro_usd / MICRO_PER_USD)

    def settlement_discrepancy(self, kind: str) -> None:
        """Count a difference between the chain and the ledger."""
        self._discrepancies.labels(kind=kind).inc()

    def sessions_open(self, count: int) -> None:
        """Say how many sessions are open."""
        self._sessions.set(count)

    def anomalies_open(self, count: int) -> None:
        """Say how many flagged sessions wait for a review."""
        self._anomalies.set(count)

    def event_delivery(self, outcome: str) -> None:
        """Count one try to deliver an event: delivered, retried later, or failed."""
        self._deliveries.labels(outcome=outcome).inc()

    def decided(self, verdict: str, code: str) -> None:
        """Count one decision."""
        counter = self._decided.get((verdict, code))
        if counter is None:  # labels are looked up once: that takes longer than counting
            counter = self._decided[verdict, code] = self._decisions.labels(verdict=verdict, code=code)
        counter.inc()

    def leases(self, open_: int, unreconciled: int, unreconciled_cost: Money) -> None:
        """Say how many leases there are, and how much of them may have been spent unseen."""
        self._leases.labels(state="open").set(open_)
        self._leases.labels(state="unreconciled").set(unreconciled)
        self._unreconciled.set(unreconciled_cost.nano_usd / NANO_PER_USD)

    def overrun(self, reason: str) -> None:
        """Count a charge beyond a cap."""
        self._overruns.labels(reason=reason).inc()

    def event_backlog(self, count: int) -> None:
        """Say how many deliveries are pending."""
        self._backlog.set(count)

    def budgets(self, uses: Sequence[BudgetUse]) -> None:
        """Say how all budgets stand that are in force; one that is not among them is not shown any more."""
        self._budget_spent.clear()
        self._budget_elapsed.clear()
        for use in sorted(uses, key=lambda use: use.spent, reverse=True)[:_MOST_BUDGETS]:
            self._budget_spent.labels(use.organisation, use.budget).set(use.spent)
            self._budget_elapsed.labels(use.organisation, use.budget).set(use.elapsed)

    def storage(self, *, up: bool) -> None:
        """Say whether the database can be written."""
        self._storage.set(up)

    def follower_lag(self, follower: str, charges: int) -> None:
        """Say how many charges a follower has not seen yet."""
        self._follower_lag.labels(follower=follower).set(charges)

    def forward_lag(self, backend: str, seconds: float) -> None:
        """Say how old the oldest span is that waits for a backend."""
        self._forward_lag.labels(backend=backend).set(seconds)

    def unanchored(self, receipts: int, oldest_seconds: float, in_doubt: int) -> None:
        """Say which receipts should be anchored and are not, and how many payments are in doubt."""
        self._unanchored.set(receipts)
        self._unanchored_seconds.set(oldest_seconds)
        self._in_doubt.set(in_doubt)

    def exposition(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        self._spend.tell()
        return generate_latest(self._registry)

    def negotiated(self, accept: str) -> tuple[bytes, str]:
        """Write all metrics as ``accept`` asks (RFC 9110), with the media type: OpenMetrics, or the text format.

        OpenMetrics has exemplars.
        """
        self._spend.tell()
        write, media_type = choose_encoder(accept)
        return write(self._registry), media_type

    def _counter(self, name: str, *labels: str) -> Counter:
        return Counter(name, METRICS[name], labels, registry=self._registry)

    def _gauge(self, name: str, *labels: str) -> Gauge:
        return Gauge(name, METRICS[name], labels, registry=self._registry)
