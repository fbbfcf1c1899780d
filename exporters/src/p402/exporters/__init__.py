"""What leaves the house: metrics for Prometheus; documents and OTLP forwarding have their folders beside it."""
