"""Charges → counters. Labels are few and bounded: no employee, no session, no model that a client could invent.

Prometheus counts in floating point, so these figures are for watching; the ledger has the exact ones.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from p402.vocabulary import NANO_PER_USD, Charge, Money

__all__ = ["CONTENT_TYPE", "METRICS", "CollectorMetrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

METRICS: Mapping[str, str] = {
    "p402_spans_total": "Spans received, by what became of them.",
    "p402_otlp_requests_total": "OTLP requests, by signal and status code.",
    "p402_evaluations_total": "Evaluations of answers that came as OTLP log events.",
    "p402_charges_total": "Charges recorded, by provider and whether they have a price.",
    "p402_cost_usd_total": "Cost of priced charges in USD, by provider.",
    "p402_tokens_total": "Tokens of charges, by provider and direction.",
    "p402_receipts_total": "Receipts sealed.",
    "p402_settlements_total": "Settlements, by the state they reached.",
    "p402_settlement_fees_usd_total": "Fees of settlements that came to an end, in USD.",
    "p402_settlement_discrepancies_total": "Differences between the chain and the ledger, by kind.",
    "p402_sessions_open": "Sessions that will get a receipt.",
    "p402_anomalies_open": "Flagged sessions that nobody has reviewed.",
    "p402_event_deliveries_total": "Tries to deliver an event to a channel, by what came of them.",
    "p402_decisions_total": "Decisions about calls, by verdict and code.",
    "p402_leases": "Leases that hold money, by state.",
    "p402_unreconciled_usd": "The most that expired and unsettled leases may have cost, in USD.",
    "p402_overruns_total": "Charges beyond a cap, by reason; one for each budget that it was beyond.",
    "p402_forwarded_spans_total": "Spans sent on to a backend, by what became of them.",
    "p402_forward_backlog_spans": "Spans that wait to be sent on, by backend.",
    "p402_event_backlog": "Deliveries of events that are pending.",
}
"""Every metric and what it counts."""

MICRO_PER_USD = 1_000_000
_OTHER = "other"
_MAX_PROVIDERS = 50  # provider names come from outside; what is beyond shows as `other`


class CollectorMetrics:
    """The collector's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._providers: set[str] = set()
        self._spans = self._counter("p402_spans_total", "outcome")
        self._requests = self._counter("p402_otlp_requests_total", "signal", "status")
        self._evaluations = self._counter("p402_evaluations_total")
        self._charges = self._counter("p402_charges_total", "provider", "priced")
        self._cost = self._counter("p402_cost_usd_total", "provider")
        self._tokens = self._counter("p402_tokens_total", "provider", "direction")
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
        self._leases = self._gauge("p402_leases", "state")
        self._unreconciled = self._gauge("p402_unreconciled_usd")
        self._overruns = self._counter("p402_overruns_total", "reason")
        self._backlog = self._gauge("p402_event_backlog")

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

    def charged(self, charges: Sequence[Charge]) -> None:
        """Count new charges; those of a batch are added up first, since finding a labelled counter is what costs."""
        charged: Counts[tuple[str, str]] = Counts()
        tokens: Counts[tuple[str, str]] = Counts()
        nano_usd: Counts[str] = Counts()
        for charge in charges:
            provider = self._bounded(charge.provider)
            charged[provider, "no" if charge.cost is None else "yes"] += 1
            if charge.cost is not None:
                nano_usd[provider] += charge.cost.nano_usd
            # Counters refuse negative numbers, which a usage that contradicts itself may have.
            tokens[provider, "input"] += max(charge.usage.input_tokens, 0)
            tokens[provider, "output"] += max(charge.usage.output_tokens, 0)
        for (provider, priced), count in charged.items():
            self._charges.labels(provider=provider, priced=priced).inc(count)
        for provider, amount in nano_usd.items():
            self._cost.labels(provider=provider).inc(amount / NANO_PER_USD)
        for (provider, direction), count in tokens.items():
            self._tokens.labels(provider=provider, direction=direction).inc(count)

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
        self._decisions.labels(verdict=verdict, code=code).inc()

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

    def exposition(self) -> bytes:
        """Write all metrics in the text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, *labels: str) -> Counter:
        return Counter(name, METRICS[name], labels, registry=self._registry)

    def _gauge(self, name: str, *labels: str) -> Gauge:
        return Gauge(name, METRICS[name], labels, registry=self._registry)

    def _bounded(self, provider: str) -> str:
        if provider not in self._providers and len(self._providers) < _MAX_PROVIDERS:
            self._providers.add(provider)
        return provider if provider in self._providers else _OTHER
