"""Names of the metrics, and what each counts."""

from __future__ import annotations

from collections.abc import Mapping

from p402.exporters.prometheus.gen_ai import GEN_AI_METRICS

__all__ = ["METRICS"]

METRICS: Mapping[str, str] = {
    "p402_spans_total": "Spans received, by what became of them.",
    "p402_otlp_requests_total": "OTLP requests, by signal and status code.",
    "p402_evaluations_total": "Evaluations of answers that came as OTLP log events.",
    "p402_charges_total": "Charges recorded, by provider and whether they have a price.",
    "p402_cost_usd_total": "Cost of priced charges in USD, by provider and department.",
    "p402_level_cost_usd_total": "Cost of priced charges in USD, by the nodes of a level of the tree.",
    "p402_model_cost_usd_total": "Cost of priced charges in USD, by provider and model.",
    "p402_task_charges_total": "Charges recorded, by type of task.",
    "p402_task_cost_usd_total": "Cost of priced charges in USD, by type of task.",
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
    "p402_budget_spent_ratio": "Part of the cap that is spent, of the node of a budget that has spent most of it.",
    "p402_budget_elapsed_ratio": "Part of a budget's period that is over.",
    "p402_storage_up": "1 while the database can be written, else 0.",
    "p402_follower_lag_charges": "Charges that a follower has not seen yet.",
    "p402_forward_lag_seconds": "Age of the oldest span that waits to be sent on, by backend.",
    "p402_receipts_unanchored": "Receipts that no final settlement anchors.",
    "p402_receipts_unanchored_seconds": "Age of the oldest receipt that should be anchored and is not.",
    "p402_settlements_in_doubt": "Settlements whose payment may have left, until somebody says what became of it.",
    **GEN_AI_METRICS,
}
"""Every metric and what it counts."""
