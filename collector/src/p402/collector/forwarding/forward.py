"""Follows the queue of spans for each backend: adds what the ledger knows, takes away what may not leave, and sends.

The ledger never waits for a backend, and backends do not wait for each other. A crash repeats at most what was under
way; a backend that is away gets everything when it is back, as far as the queue reaches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.forwarding.ports import Batch, ForwardQueue, SpanPlace
from p402.collector.observed_work import Observe, Work, unobserved
from p402.exporters.otlp import Answer, Backend, Facts, Sender, Verdict, asked_for, enrich
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock, Transient, attributes

__all__ = ["Forwarder", "Leader", "Route"]

_LARGEST = 2 << 20  # bytes of one request to a backend; most take 4 MiB
_PAUSE_SECONDS = 0.5  # between two looks at an empty queue
_TIDY_SECONDS = 5.0
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds between tries

log = structlog.get_logger(__name__)


class Leader(Protocol):
    """Sees to it that of several collectors one sends to a backend."""

    async def take(self) -> bool:
        """Tell whether it is us now."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """A backend, the way to it, and whose turn it is."""

    backend: Backend
    sender: Sender
    leader: Leader


class Forwarder:
    """Sends to every backend."""

    def __init__(
        self,
        queue: ForwardQueue,
        routes: Sequence[Route],
        most_bytes: int,
        metrics: CollectorMetrics,
        clock: Clock,
        random: Callable[[], float],
        observe: Observe = unobserved,
    ) -> None:
        self._queue = queue
        self._routes = routes
        self._names = [route.backend.name for route in routes]
        self._most_bytes = most_bytes
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._observe = observe
        self._largest = dict.fromkeys(self._names, _LARGEST)
        for name in self._names:  # alerts see an increase only in a series that is there
            metrics.forwarded(name, "lost", 0)
            metrics.forwarded(name, "refused", 0)

    async def run(self) -> None:
        """Forward until cancelled; without a backend, what waited for one is forgotten."""
        if not self._routes:
            await self._queue.clear()
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for route in self._routes:
                group.create_task(self._follow(route))
            group.create_task(self._keep_tidy())

    async def close(self) -> None:
        """Let go of connections."""
        for route in self._routes:
            await route.sender.close()

    async def send_next(self, route: Route) -> float | None:
        """Send the next batches of a route; gives how long to wait before the next look, None if there is more to send.

        Raises:
            Transient: when the database is away.
        """
        if not await route.leader.take():
            return _PAUSE_SECONDS
        name = route.backend.name
        with self._observe("forward spans") as work:
            batches = await self._queue.next(name, self._largest[name])
            if not batches:
                return _PAUSE_SECONDS
            return await self._send(route, batches, work)

    async def _send(self, route: Route, batches: Sequence[Batch], work: Work) -> float | None:
        name = route.backend.name
        request = await asyncio.to_thread(_merged, batches)
        facts = await self._queue.facts(await asyncio.to_thread(_places, request))
        body = await asyncio.to_thread(_written, request, facts, route.backend)
        spans = _count(request)
        work.did(backend=name, spans=spans)
        answer = await route.sender.send(body)
        work.did(verdict=answer.verdict.name.lower())
        if answer.verdict is Verdict.SPLIT and len(batches) > 1:
            self._largest[name] = len(body) // 2
            return None
        self._largest[name] = min(_LARGEST, self._largest[name] * 2)
        if answer.verdict is Verdict.SPLIT and spans > 1:
            answer = await self._send_in_halves(route, request)
        if answer.verdict is Verdict.RETRY:
            log.warning("forwarding_waits", backend=name, problem=answer.problem)
            self._metrics.forwarded(name, "retried", spans)
            return answer.wait_seconds if answer.wait_seconds is not None else _FIRST_WAIT
        await self._queue.passed(name, batches[-1].seq)
        if answer.verdict is not Verdict.TAKEN:
            log.error("spans_refused_by_backend", backend=name, spans=spans, problem=answer.problem)
            self._metrics.forwarded(name, "refused", spans)
            return None
        if answer.rejected_spans:
            log.warning("spans_rejected_by_backend", backend=name, spans=answer.rejected_spans, problem=answer.problem)
        self._metrics.forwarded(name, "refused", answer.rejected_spans)
        self._metrics.forwarded(name, "sent", spans - answer.rejected_spans)
        return None

    async def tidy(self) -> None:
        """Forget what is not needed, and count what was lost and what waits.

        Raises:
            Transient: when the database is away.
        """
        lost = await self._queue.tidy(self._names, self._most_bytes, self._clock.now())
        for name, spans in lost.items():
            if spans:
                log.error("spans_lost_for_backend", backend=name, spans=spans, problem="the queue is full")
                self._metrics.forwarded(name, "lost", spans)
        for name, spans in (await self._queue.waiting(self._names)).items():
            self._metrics.forward_backlog(name, spans)

    async def _send_in_halves(self, route: Route, request: ExportTraceServiceRequest) -> Answer:
        """Send what is too large in one piece; a piece that must be sent again has all of them sent again."""
        rejected, problem = 0, None
        for half in _halves(request):
            answer = await route.sender.send(half.SerializeToString())
            if answer.verdict is Verdict.SPLIT and _count(half) > 1:
                answer = await self._send_in_halves(route, half)
            if answer.verdict is Verdict.RETRY:
                return answer
            refused = _count(half) if answer.verdict is not Verdict.TAKEN else answer.rejected_spans
            rejected, problem = rejected + refused, answer.problem or problem
        return Answer(Verdict.TAKEN, problem, rejected_spans=rejected)

    async def _follow(self, route: Route) -> None:
        tries = 0
        while True:
            try:
                wait = await self.send_next(route)
            except Transient as error:
                log.warning("forwarding_waits_for_storage", backend=route.backend.name, problem=str(error))
                wait = _FIRST_WAIT
            except Exception:  # a batch that cannot be read must not end the forwarding of all others
                log.exception("forwarding_fault", backend=route.backend.name)
                wait = _LONGEST_WAIT
            if wait is None or wait == _PAUSE_SECONDS:
                tries = 0
            else:
                wait = max(wait, min(_LONGEST_WAIT, _FIRST_WAIT * 2**tries) * (0.5 + self._random() / 2))
                tries = min(tries + 1, 10)
            if wait is not None:
                await asyncio.sleep(wait)

    async def _keep_tidy(self) -> None:
        while True:
            try:
                await self.tidy()
            except Transient as error:
                log.warning("forwarding_waits_for_storage", problem=str(error))
            await asyncio.sleep(_TIDY_SECONDS)


def _merged(batches: Sequence[Batch]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for batch in batches:
        request.MergeFromString(batch.body)
    return request


def _written(request: ExportTraceServiceRequest, facts: Mapping[bytes, Facts], backend: Backend) -> bytes:
    """Add what is known, take away what may not leave; the request is changed."""
    for spans in _groups(request):
        for span in list(spans):
            known = facts.get(span.trace_id + span.span_id)
            if known is not None:
                enrich(span, known)
            if (wish := asked_for(span)) is not None:
                spans.append(wish)
    backend.policy.apply(request)
    return request.SerializeToString()


def _places(request: ExportTraceServiceRequest) -> list[SpanPlace]:
    return [
        SpanPlace(span.trace_id + span.span_id, not span.parent_span_id, is_refused=_is_refused(span))
        for span in _spans(request)
    ]


def _is_refused(span: Span) -> bool:
    return any(
        pair.key == attributes.P402_DECISION_VERDICT and pair.value.string_value == "block" for pair in span.attributes
    )


def _groups(request: ExportTraceServiceRequest) -> Iterator[MutableSequence[Span]]:
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            yield scope_spans.spans


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    return chain.from_iterable(_groups(request))


def _count(request: ExportTraceServiceRequest) -> int:
    return sum(1 for _ in _spans(request))


def _halves(request: ExportTraceServiceRequest) -> tuple[ExportTraceServiceRequest, ExportTraceServiceRequest]:
    """Divide a request by its spans; each half has the resources and scopes of its own."""
    middle = _count(request) // 2
    halves = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    number = 0
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                half = halves[number >= middle]
                target = half.resource_spans[-1] if half.resource_spans else None
                if target is None or target.resource != resource_spans.resource:
                    target = half.resource_spans.add(
                        resource=resource_spans.resource, schema_url=resource_spans.schema_url
                    )
                scope = target.scope_spans[-1] if target.scope_spans else None
                if scope is None or scope.scope != scope_spans.scope:
                    scope = target.scope_spans.add(scope=scope_spans.scope, schema_url=scope_spans.schema_url)
                scope.spans.append(span)
                number += 1
    return halves
