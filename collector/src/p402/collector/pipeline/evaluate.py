"""Evaluations of answers: events of the GenAI conventions → scores to keep, each with the call that it is about.

The event ``gen_ai.evaluation.result`` is to be a child of the evaluated call's span. Where its sender does not know that span,
it is in the same trace and names the provider's id of the answer (``gen_ai.response.id``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Protocol

from p402.collector.pipeline.records import EventRecord
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import MAX_ID_LENGTH, Attribution, Clock, is_valid_id
from p402.vocabulary.attributes import GEN_AI_RESPONSE_ID

__all__ = ["EVALUATION", "MILLIONTHS", "Evaluation", "EvaluationIngest", "EvaluationStore", "read_evaluation"]

EVALUATION = "gen_ai.evaluation.result"
"""Name of the event."""
MILLIONTHS = 1_000_000
"""Scores are kept as whole millionths, so that sums of them are exact."""

_NAME = "gen_ai.evaluation.name"
_SCORE = "gen_ai.evaluation.score.value"
_LARGEST = 1_000_000  # sums of such scores fit in 64 bits
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What an evaluator found about an answer."""

    organisation: str
    key_id: str | None
    trace_id: bytes
    span_id: bytes | None
    """Of the call; None: it is the call of the trace whose answer has the response id."""
    response_id: str | None
    name: str
    """What was looked at, such as ``quality``."""
    score: int
    """In millionths."""
    evaluator: str
    """Who looked: the instrumentation scope, or the service."""
    evaluated_at: datetime

    @property
    def digest(self) -> bytes:
        """Identify it: the same event sent twice is one evaluation."""
        at = (self.evaluated_at - _EPOCH) // timedelta(milliseconds=1)
        about = (self.trace_id + (self.span_id or b"")).hex()
        said = (self.organisation, self.key_id or "", about, self.response_id or "", self.name, self.evaluator, str(at))
        return hashlib.sha256("\0".join(said).encode()).digest()[:16]


class EvaluationStore(Protocol):
    """Where evaluations are kept."""

    async def record(self, evaluations: Sequence[Evaluation], at: datetime) -> int:
        """Keep those that are new; returns how many those are.

        Raises:
            Transient: nothing was recorded; the sender should try again.
        """
        ...


class EvaluationIngest:
    """Takes the evaluations out of log records, keeps and counts them."""

    def __init__(
        self, store: EvaluationStore, metrics: CollectorMetrics, clock: Clock, default_organisation: str
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._default_organisation = default_organisation

    async def ingest(self, events: Sequence[EventRecord], bound_to: Attribution, key_id: str | None) -> None:
        """Keep the evaluations among events that a key sent.

        Raises:
            Transient: nothing was recorded; the sender should try again.
        """
        now = self._clock.now()
        came = [event for event in events if event.name == EVALUATION]
        found = [read_evaluation(event, bound_to, key_id, self._default_organisation, now) for event in came]
        if usable := [evaluation for evaluation in found if evaluation is not None]:
            await self._store.record(usable, now)
        self._metrics.evaluations(len(came))


def read_evaluation(
    event: EventRecord, bound_to: Attribution, key_id: str | None, default_organisation: str, now: datetime
) -> Evaluation | None:
    """Read an evaluation; None if it has no name, no score, or nothing that says which call it is about."""
    name, score = event.attributes.get(_NAME), _millionths(event.attributes.get(_SCORE))
    response = event.attributes.get(GEN_AI_RESPONSE_ID)
    response_id = response if isinstance(response, str) and is_valid_id(response) else None
    span_id = event.span_id if len(event.span_id) == _SPAN_ID_BYTES and any(event.span_id) else None
    in_trace = len(event.trace_id) == _TRACE_ID_BYTES and any(event.trace_id)
    if not in_trace or (span_id is None and response_id is None):
        return None
    if score is None or not isinstance(name, str) or not name:
        return None
    said = Attribution.from_attributes(event.attributes).over(Attribution.from_attributes(event.resource))
    evaluator = event.scope or str(event.resource.get("service.name") or "unknown")
    return Evaluation(
        organisation=bound_to.over(said).organisation or default_organisation,
        key_id=key_id,
        trace_id=event.trace_id,
        span_id=None if response_id is not None else span_id,
        response_id=response_id,
        name=name[:MAX_ID_LENGTH],
        score=score,
        evaluator=evaluator[:MAX_ID_LENGTH],
        evaluated_at=_EPOCH + timedelta(milliseconds=event.at_ns // 1_000_000) if event.at_ns else now,
    )


def _millionths(score: Any) -> int | None:
    """Read a score, rounded half-even once; None for what is no number that can be kept."""
    if isinstance(score, bool) or not isinstance(score, int | float):
        return None
    if not math.isfinite(score) or abs(score) > _LARGEST:
        return None
    return round(Fraction(score) * MILLIONTHS)
