"""Metrics in the Prometheus exposition format."""

from p402.exporters.prometheus.metrics import CONTENT_TYPE, METRICS, CollectorMetrics

__all__ = ["CONTENT_TYPE", "METRICS", "CollectorMetrics"]
