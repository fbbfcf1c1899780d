"""Charges → counters of spend: by provider, department, model and type of task, each bounded."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter

from p402.exporters.prometheus.names import METRICS
from p402.exporters.prometheus.series import Ceiling
from p402.vocabulary import NANO_PER_USD, Charge, Level

__all__ = ["SpendMetrics"]

_LEVELS = (Level.ORGANISATION, Level.DEPARTMENT, Level.PROJECT, Level.CLIENT)  # no people, no sessions
_UNATTRIBUTED = "unattributed"
_UNKNOWN = "unknown"
_MOST_PROVIDERS = 50
_MOST_MODELS = 200
_MOST_TASKS = 50


class SpendMetrics:
    """The counters of spend, in a registry.

    Args:
        registry: where they are shown.
        most_nodes: how many nodes of each level have series of their own.
    """

    def __init__(self, registry: CollectorRegistry, most_nodes: int) -> None:
        self._registry = registry
        self._charges = self._counter("p402_charges_total", "provider", "priced")
        self._tokens = self._counter("p402_tokens_total", "provider", "direction")
        self._cost = self._counter("p402_cost_usd_total", "provider", "department")
        self._level_cost = self._counter("p402_level_cost_usd_total", "level", "node")
        self._model_cost = self._counter("p402_model_cost_usd_total", "provider", "model")
        self._task_charges = self._counter("p402_task_charges_total", "task_type")
        self._task_cost = self._counter("p402_task_cost_usd_total", "task_type")
        self._providers = Ceiling(_MOST_PROVIDERS)
        self._departments = Ceiling(most_nodes)
        self._nodes = [(level.value, Ceiling(most_nodes)) for level in _LEVELS]
        self._models = Ceiling(_MOST_MODELS)
        self._tasks = Ceiling(_MOST_TASKS)

    def charged(self, charges: Sequence[Charge]) -> None:
        """Count charges; those of a batch are added up first, since finding a labelled counter is what costs.

        The newest call of each sum is its exemplar.
        """
        counts: dict[Counter, Counts[tuple[str, ...]]] = {
            counter: Counts() for counter in (self._charges, self._tokens, self._task_charges)
        }
        nano_usd: dict[Counter, Counts[tuple[str, ...]]] = {
            counter: Counts() for counter in (self._cost, self._level_cost, self._model_cost, self._task_cost)
        }
        newest: dict[tuple[Counter, tuple[str, ...]], str] = {}
        for charge in charges:
            provider = self._providers.series(charge.provider)[0]
            task = self._tasks.series(charge.task_type or _UNKNOWN)
            counts[self._charges][provider, "no" if charge.cost is None else "yes"] += 1
            # Counters refuse negative numbers, which a usage that contradicts itself may have.
            counts[self._tokens][provider, "input"] += max(charge.usage.input_tokens, 0)
            counts[self._tokens][provider, "output"] += max(charge.usage.output_tokens, 0)
            counts[self._task_charges][task] += 1
            if charge.cost is not None:
                department = charge.attribution.department or _UNATTRIBUTED
                sums = [
                    (self._cost, self._departments.series(provider, department)),
                    (self._model_cost, self._models.series(provider, charge.model)),
                    (self._task_cost, task),
                ]
                for level, ceiling in self._nodes:
                    node = getattr(charge.attribution, level) or _UNATTRIBUTED
                    sums.append((self._level_cost, (level, *ceiling.series(node))))
                for counter, series in sums:
                    nano_usd[counter][series] += charge.cost.nano_usd
                    newest[counter, series] = charge.trace_id
        for counter, by_series in counts.items():
            for series, count in by_series.items():
                counter.labels(*series).inc(count)
        for counter, by_series in nano_usd.items():
            for series, amount in by_series.items():
                trace = {"trace_id": newest[counter, series]}
                counter.labels(*series).inc(amount / NANO_PER_USD, trace)

    def _counter(self, name: str, *labels: str) -> Counter:
        return Counter(name, METRICS[name], labels, registry=self._registry)
