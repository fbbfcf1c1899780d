"""OTLP in: the doors through which spans arrive."""
