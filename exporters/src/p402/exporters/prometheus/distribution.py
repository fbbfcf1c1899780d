"""A histogram with an exemplar for each bucket, written for observations that come in thousands.

The client library's own histogram takes a lock and walks through its buckets at each observation; this one is filled by
one thread, and read between.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

__all__ = ["Distribution", "Series"]


class Series:
    """The observations with the same labels."""

    __slots__ = ("_bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.exemplars: list[tuple[str, float, float] | None] = [None] * (len(bounds) + 1)
        """Trace id, value and time in seconds since 1970 of the newest observation in each bucket."""
        self.total = 0.0

    def observe(self, value: float, trace_id: str, at: float) -> None:
        """Count one value, of a trace, at a time in seconds since 1970."""
        bucket = bisect_left(self._bounds, value)
        self.counts[bucket] += 1
        self.exemplars[bucket] = (trace_id, value, at)
        self.total += value


class Distribution(Collector):
    """Observations in buckets.

    Args:
        name: of the metric; its unit, if any, is its last word.
        about: what it counts.
        unit: ``seconds``, or nothing.
        labels: names of labels; who observes sees to it that their values are few.
        bounds: upper bounds of the buckets, ascending; one without a bound follows.
    """

    def __init__(self, name: str, about: str, unit: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name = name
        self._about = about
        self._unit = unit
        self._labels = tuple(labels)
        self._bounds = tuple(bounds)
        self._written = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._series: dict[tuple[str, ...], Series] = {}

    def series(self, *labels: str) -> Series:
        """Give what observes values with these labels."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Series(self._bounds)
        return found

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Give the metric as it is now."""
        family = HistogramMetricFamily(self._name, self._about, labels=self._labels, unit=self._unit)
        for labels, series in self._series.items():
            if not any(series.counts):
                continue
            family.add_metric(labels, self._buckets(series), series.total)
        yield family

    def _buckets(self, series: Series) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
        found: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        below = 0
        for bound, count, seen in zip(self._written, series.counts, series.exemplars, strict=True):
            below += count
            if seen is None:
                found.append((bound, below))
            else:
                trace_id, value, at = seen
                found.append((bound, below, Exemplar({"trace_id": trace_id}, value, at)))
        return found
