"""Calls of models → metrics of OpenTelemetry's GenAI conventions, under the names that they have in Prometheus.

Source: semantic-conventions-genai, ``gen_ai.client.token.usage``, ``gen_ai.client.operation.duration`` and
``gen_ai.client.operation.time_to_first_chunk``, with the buckets that it advises; a unit of seconds ends the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from p402.exporters.prometheus.distribution import Distribution, Series
from p402.exporters.prometheus.series import Ceiling
from p402.vocabulary import Charge

__all__ = ["GEN_AI_METRICS", "CallSeries", "GenAiMetrics"]

GEN_AI_METRICS: Mapping[str, str] = {
    "gen_ai_client_token_usage": "Tokens of a call, by direction.",
    "gen_ai_client_operation_duration_seconds": "How long a call took, as its client saw it.",
    "gen_ai_client_operation_time_to_first_chunk_seconds": "How long a streamed call took to answer at all.",
}

_CALL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_response_model")
_TOKENS = tuple(4**power for power in range(14))
_SECONDS = tuple(2**power / 100 for power in range(14))  # 0.01 to 81.92
_FIRST_CHUNK = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_MOST_MODELS = 100  # operation, provider and model together; a series of a histogram has 16 samples or so


@dataclass(frozen=True, slots=True)
class CallSeries:
    """What observes the calls of one operation, provider and model."""

    input: Series
    output: Series
    duration: Series

    def called(self, charge: Charge, at: float) -> None:
        """Observe a call that was charged at a time in seconds since 1970."""
        trace_id, usage = charge.trace_id, charge.usage
        self.input.observe(max(usage.input_tokens, 0), trace_id, at)
        self.output.observe(max(usage.output_tokens, 0), trace_id, at)
        seconds = (charge.ended_at - charge.started_at).total_seconds()
        if seconds > 0:  # a settlement without its span knows no duration
            self.duration.observe(seconds, trace_id, at)


class GenAiMetrics:
    """The three histograms, in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ceiling = Ceiling(_MOST_MODELS)
        tokens, duration, first_chunk = GEN_AI_METRICS
        self._tokens = Distribution(tokens, GEN_AI_METRICS[tokens], "", (*_CALL, "gen_ai_token_type"), _TOKENS)
        self._duration = Distribution(duration, GEN_AI_METRICS[duration], "seconds", _CALL, _SECONDS)
        self._first_chunk = Distribution(first_chunk, GEN_AI_METRICS[first_chunk], "seconds", _CALL, _FIRST_CHUNK)
        for distribution in (self._tokens, self._duration, self._first_chunk):
            registry.register(distribution)

    def call(self, charge: Charge) -> CallSeries:
        """Give what observes calls of a charge's operation, provider and model."""
        labels = self._ceiling.series(charge.operation, charge.provider, charge.model)
        tokens_in, tokens_out = self._tokens.series(*labels, "input"), self._tokens.series(*labels, "output")
        return CallSeries(tokens_in, tokens_out, self._duration.series(*labels))

    def first_chunk(self, charge: Charge, seconds: float, at: float) -> None:
        """Observe how long a streamed call took to its first chunk."""
        labels = self._ceiling.series(charge.operation, charge.provider, charge.model)
        self._first_chunk.series(*labels).observe(seconds, charge.trace_id, at)
