"""Charges → counters of spend: by provider, department, model and type of task, each bounded.

Charges come by the thousand, and finding a labelled counter costs a microsecond: so calls of one kind (same owner down to the
client, same model, same task) are added up in integers, and the counters learn of them when somebody looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter

from p402.exporters.prometheus.gen_ai import CallSeries, GenAiMetrics
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
_MOST_KINDS = 2_000  # added up before counters are told


@dataclass(slots=True)
class _Kind:
    """Calls of one kind since counters were told last."""

    example: Charge
    """Any of them: owner, provider, model and task are those of all."""
    series: CallSeries
    charges: int = 0
    unpriced: int = 0
    nano_usd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    trace_id: str = ""
    """Of the newest with a price."""


class SpendMetrics:
    """The counters of spend, in a registry.

    Args:
        registry: where they are shown.
        gen_ai: histograms of the same calls.
        most_nodes: how many nodes of each level have series of their own.
    """

    def __init__(self, registry: CollectorRegistry, gen_ai: GenAiMetrics, most_nodes: int) -> None:
        self._registry = registry
        self._gen_ai = gen_ai
        self._kinds: dict[tuple[str | None, ...], _Kind] = {}
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

    def charged(self, charges: Sequence[Charge], at: float) -> None:
        """Count charges that were recorded at a time in seconds since 1970."""
        for charge in charges:
            kind = self._kind(charge)
            usage, cost = charge.usage, charge.cost
            kind.charges += 1
            # Counters refuse negative numbers, which a usage that contradicts itself may have.
            kind.input_tokens += max(usage.input_tokens, 0)
            kind.output_tokens += max(usage.output_tokens, 0)
            if cost is None:
                kind.unpriced += 1
            else:
                kind.nano_usd += cost.nano_usd
                kind.trace_id = charge.trace_id
            kind.series.called(charge, at)

    def tell(self) -> None:
        """Bring the counters up to date."""
        for kind in self._kinds.values():
            self._count(kind)
        self._kinds.clear()

    def _kind(self, charge: Charge) -> _Kind:
        who = charge.attribution
        owner = (who.organisation, who.department, who.project, who.client)
        key = (*owner, charge.provider, charge.operation, charge.response_model, charge.request_model, charge.task_type)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= _MOST_KINDS:
                self.tell()
            kind = self._kinds[key] = _Kind(charge, self._gen_ai.call(charge))
        return kind

    def _count(self, kind: _Kind) -> None:
        charge = kind.example
        provider = self._providers.series(charge.provider)[0]
        task = self._tasks.series(charge.task_type or _UNKNOWN)
        self._tokens.labels(provider, "input").inc(kind.input_tokens)
        self._tokens.labels(provider, "output").inc(kind.output_tokens)
        self._task_charges.labels(*task).inc(kind.charges)
        if kind.unpriced:
            self._charges.labels(provider, "no").inc(kind.unpriced)
        if kind.unpriced == kind.charges:
            return
        self._charges.labels(provider, "yes").inc(kind.charges - kind.unpriced)
        usd, trace = kind.nano_usd / NANO_PER_USD, {"trace_id": kind.trace_id}
        department = charge.attribution.department or _UNATTRIBUTED
        self._cost.labels(*self._departments.series(provider, department)).inc(usd, trace)
        self._model_cost.labels(*self._models.series(provider, charge.model)).inc(usd, trace)
        self._task_cost.labels(*task).inc(usd, trace)
        for level, ceiling in self._nodes:
            node = getattr(charge.attribution, level) or _UNATTRIBUTED
            self._level_cost.labels(level, *ceiling.series(node)).inc(usd, trace)

    def _counter(self, name: str, *labels: str) -> Counter:
        return Counter(name, METRICS[name], labels, registry=self._registry)
