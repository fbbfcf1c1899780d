"""Who a call was for (pure): what the span says, what its resource says, and what its API key is bound to."""

from __future__ import annotations

from p402.collector.pipeline.records import Attributed, SpanRecord
from p402.vocabulary import Attribution, Level, is_valid_id

__all__ = ["attribute"]

# What other instrumentations call the thing we call a session; used where the span names no `p402.session`.
_SESSION_NAMES = ("gen_ai.conversation.id", "session.id")


def attribute(span: SpanRecord, bound_to: Attribution, default_organisation: str) -> Attributed:
    """Attribute a span: the key's binding wins over the span, the span over its resource.

    A level that nobody names stays empty: the call is metered as unattributed there. Only the organisation is never
    empty, since somebody pays; ``default_organisation`` stands in for it.
    """
    asserted = Attribution.from_attributes(span.attributes).over(Attribution.from_attributes(span.resource))
    fallback = Attribution(organisation=default_organisation, session=_session(span))
    return Attributed(bound_to.over(asserted).over(fallback), _verified_through(bound_to))


def _session(span: SpanRecord) -> str | None:
    found = (span.attributes.get(name) for name in _SESSION_NAMES)
    return next((value for value in found if is_valid_id(value)), None)


def _verified_through(bound_to: Attribution) -> Level | None:
    deepest = None
    for level, value in bound_to:
        if value is None:
            break
        deepest = level
    return deepest
