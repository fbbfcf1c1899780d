"""Runs spans through the stages and counts what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from p402.collector.pipeline.attribute import attribute
from p402.collector.pipeline.normalise import Dialect, normalise
from p402.collector.pipeline.ports import Ledger, Outcome, Prices
from p402.collector.pipeline.price import charge
from p402.collector.pipeline.records import (
    Forwarded,
    NotCharged,
    OtherSpan,
    Recordable,
    Refused,
    SkipReason,
    SpanRecord,
    WithoutUsage,
)
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Attribution, Clock, attributes

__all__ = ["Ingest"]

_DAY_SECONDS = 86_400.0


class Ingest:
    """The pipeline: ``await ingest(spans, …)`` returns when every charge is on disk."""

    def __init__(
        self,
        dialects: Sequence[Dialect],
        prices: Prices,
        ledger: Ledger,
        metrics: CollectorMetrics,
        clock: Clock,
        default_organisation: str,
    ) -> None:
        self._dialects = dialects
        self._prices = prices
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock
        self._default_organisation = default_organisation

    async def ingest(
        self,
        spans: Sequence[SpanRecord],
        bound_to: Attribution,
        key_id: str | None,
        forwarded: Forwarded | None = None,
    ) -> Counter[str]:
        """Normalise, attribute, price and record spans; returns how many ended how.

        Args:
            spans: as they arrived.
            bound_to: levels that the sender's API key is bound to; they win over what spans say.
            key_id: id of that key, None for an anonymous sender.
            forwarded: the request as it is to be sent on, if it is.

        Raises:
            Transient: nothing was recorded; the sender should try again.
        """
        now = self._clock.now()
        calls: list[Recordable] = []
        without_usage: list[WithoutUsage] = []
        others: list[OtherSpan] = []
        refused: list[Refused] = []
        counts: Counter[str] = Counter()
        for span in spans:
            read = normalise(span, self._dialects)
            if isinstance(read, NotCharged) and read.reason is SkipReason.REFUSED:
                counts[read.reason] += 1
                owner = attribute(span, bound_to, self._default_organisation)
                refused.append(Refused(span, owner.attribution, key_id))
                continue
            if isinstance(read, NotCharged) and read.reason is not SkipReason.NO_USAGE:
                counts[read.reason] += 1
                sent_on = forwarded is not None
                owner_of_it = attribute(span, bound_to, self._default_organisation).attribution if sent_on else None
                others.append(OtherSpan(span, key_id, owner_of_it))
                continue
            owner = attribute(span, bound_to, self._default_organisation)
            if isinstance(read, NotCharged):
                organisation = owner.attribution.organisation or self._default_organisation
                without_usage.append(WithoutUsage(span, organisation, key_id, owner.attribution))
            else:
                calls.append(charge(read, owner, self._prices, key_id, now))
        if calls or without_usage or others or refused:
            outcomes, recorded = await self._ledger.record(calls, without_usage, now, others, refused, forwarded)
            counts.update(outcomes)
            pairs = zip(recorded, outcomes, strict=False)
            self._count([call for call, outcome in pairs if outcome is Outcome.CHARGED], now)
        self._metrics.spans(counts)
        return counts

    def _count(self, charged: Sequence[Recordable], at: datetime) -> None:
        self._metrics.charged([call.charge for call in charged], at)
        for call in charged:
            seconds = call.span.attributes.get(attributes.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK)
            if isinstance(seconds, float) and 0 <= seconds < _DAY_SECONDS:  # what is more is none, as is NaN
                self._metrics.first_chunk(call.charge, seconds, at)
