"""Shows a downgrade in a trace: below the call that was made, the call that was asked for, and a link to it (pure).

A call that was given to a cheaper model is one span, and nothing else in its trace says that there was another wish. So
the wish becomes a span without a duration below the call's. Its id follows from the call's, so that it is one span
however often it is sent; it is no call of a model in anybody's conventions, so that nobody counts it as one.
"""

from __future__ import annotations

from hashlib import sha256

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.exporters.otlp.enrich import link
from p402.vocabulary import Level, attributes

__all__ = ["asked_for"]

_KEPT = frozenset(
    {
        *(level.attribute for level in Level),
        attributes.P402_DECISION_VERDICT,
        attributes.P402_DECISION_CODE,
        attributes.P402_DECISION_RATIONALE,
        attributes.P402_DECISION_ORIGINAL_MODEL,
    }
)


def asked_for(span: Span) -> Span | None:
    """Make the span of the call that was asked for, and link the given one to it; None if that is what was called."""
    known = {pair.key: pair.value.string_value for pair in span.attributes}
    model = known.get(attributes.P402_DECISION_ORIGINAL_MODEL)
    if (
        not model
        or attributes.GEN_AI_REQUEST_MODEL not in known
        or known.get(attributes.P402_DECISION_VERDICT) == "block"
    ):
        return None
    identity = sha256(b"p402.asked_for" + span.trace_id + span.span_id).digest()[:8]
    link(span, span.trace_id + identity, "downgraded_from")
    operation = known.get(attributes.GEN_AI_OPERATION_NAME, "")
    return Span(
        trace_id=span.trace_id,
        span_id=identity,
        parent_span_id=span.span_id,
        name=f"asked for {operation} {model}".replace("  ", " "),
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start_time_unix_nano,
        end_time_unix_nano=span.start_time_unix_nano,
        attributes=[pair for pair in span.attributes if pair.key in _KEPT],
    )
