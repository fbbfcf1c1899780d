"""Metrics in the exposition formats of Prometheus and of OpenMetrics."""

from p402.exporters.prometheus.metrics import MOST_NODES, BudgetUse, CollectorMetrics
from p402.exporters.prometheus.names import METRICS

__all__ = ["METRICS", "MOST_NODES", "BudgetUse", "CollectorMetrics"]
