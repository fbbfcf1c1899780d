"""How those who make spans spell things. One file per dialect, each a pure function of a span."""

from p402.collector.dialects import claude_code, genai_semconv, openinference, openllmetry

__all__ = ["DIALECTS"]

DIALECTS = (genai_semconv.read, openinference.read, openllmetry.read, claude_code.read)
"""In the order in which a span is tried; the names that our own instrumentation writes come first."""
