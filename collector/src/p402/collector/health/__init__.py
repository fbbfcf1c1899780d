"""What a running collector is behind with, for probes, metrics and people."""
