"""The one place where a request is looked at before it leaves the process.

Recognise it, start its `Call`, keep baggage back, and say what must change about it; the client's file then does so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext

from p402.instrumentation.attribution import labels, without_baggage
from p402.instrumentation.batches import Downloads, ResultsDownload
from p402.instrumentation.call import Call
from p402.instrumentation.call_spans import CallSpans
from p402.instrumentation.complexity import complexity
from p402.instrumentation.content import Content, ContentMode
from p402.instrumentation.feedback.admission import Admission, Pending
from p402.instrumentation.feedback.apply import write_body
from p402.instrumentation.feedback.gate import Asked, Changes, Gate, changes, settle
from p402.instrumentation.feedback.refusal import Refusal
from p402.instrumentation.fingerprints import prompt_pattern
from p402.instrumentation.guard import guard
from p402.instrumentation.messages import ends_of
from p402.instrumentation.outer_span import outer_span_scope, trace_of
from p402.instrumentation.providers import RequestFacts, Route, is_provider, recognise
from p402.instrumentation.providers.openai import asks_for_usage
from p402.instrumentation.providers.results import results_at
from p402.instrumentation.retries import Attempts
from p402.instrumentation.task_type import infer
from p402.instrumentation.unseen import warn_of_request, warn_of_websocket
from p402.vocabulary import attributes, new_id

__all__ = ["READ_HEADERS", "Inspected", "Inspector", "Outgoing", "Undecided"]

_IN_CALL = context.create_key("p402-in-call")
_MOST_CHARACTERS = 2_048  # of each text that is looked at to tell what a call is for
_NOTHING: Mapping[str, str] = MappingProxyType({})
_AS_IT_IS: Mapping[str, str] = MappingProxyType({"accept-encoding": "identity"})
_KEPT_BACK = ("baggage", "tracestate")
_ASK_FOR_USAGE = b'{"stream_options":{"include_usage":true},'


READ_HEADERS = frozenset({"authorization", "upgrade", "x-stainless-retry-count", *_KEPT_BACK})
"""Headers of requests that are looked at, or taken off."""


class Outgoing(NamedTuple):
    """A request that is about to be sent, as any HTTP client can describe it."""

    method: str
    host: str
    port: int | None
    path: str
    headers: Mapping[str, str]
    """`READ_HEADERS` at least; looked up in lower case."""
    body: bytes | None
    """None if it cannot be read without consuming it; of a form, its texts as a JSON object."""
    can_hide: bool
    """Whether this client can keep an event of the response's stream from the application."""
    can_change: bool = False
    """Whether this client can send another body, and to another path."""


class Inspected(NamedTuple):
    """What to do about a request."""

    context: Context
    """To be attached while the request is being sent."""
    call: Call | None = None
    """The call of a model that it is; None if it is something else at a provider."""
    dropped_headers: tuple[str, ...] = ()
    headers: Mapping[str, str] = _NOTHING
    """To be set."""
    body: bytes | None = None
    """To be sent instead; None leaves it as it is."""
    path: str | None = None
    """To be sent to instead."""
    refusal: Refusal | None = None
    """To be answered, without anything being sent."""


class Undecided:
    """A request whose decision has to be waited for, for a bounded time; whatever fails, there is something to do."""

    def __init__(self, pending: Pending, go_on: Callable[[Admission], Inspected], otherwise: Inspected) -> None:
        self._pending = pending
        self._go_on = go_on
        self._otherwise = otherwise

    def result(self) -> Inspected:
        """Wait on this thread."""
        with guard("waiting for a decision"):
            return self._go_on(self._pending.result())
        return self._otherwise

    async def result_async(self) -> Inspected:
        """Wait without holding up the event loop."""
        with guard("waiting for a decision"):
            return self._go_on(await self._pending.result_async())
        return self._otherwise


class Inspector:
    """Looks at requests on behalf of all hooked clients."""

    def __init__(
        self,
        spans: CallSpans,
        baggage_hosts: frozenset[str],
        openai_hosts: Mapping[str, str] = MappingProxyType({}),
        content: Content | None = None,
        downloads: Downloads | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._spans = spans
        self._baggage_hosts = baggage_hosts
        self._openai_hosts = openai_hosts
        self._content = content or Content(ContentMode.METADATA, None)
        self._downloads = downloads
        self._gate = gate
        self._do_not_ask: set[tuple[str, int | None]] = set()
        self._recognise = lru_cache(maxsize=256)(partial(recognise, own_hosts=openai_hosts))
        self._attempts = Attempts(time.monotonic, lambda: new_id("req", datetime.now(UTC)))

    def inspect(self, outgoing: Outgoing) -> Inspected | Undecided | None:
        """Look at a request; None if it is not for a provider, or is part of a call that is already looked after."""
        here = context.get_current()
        if context.get_value(_IN_CALL, here):
            return None
        host, port, own = outgoing.host, outgoing.port, self._openai_hosts
        route = self._recognise(host, outgoing.path, port) if outgoing.method == "POST" else None
        download = None
        if route is None:
            with guard("looking at what is no call of a model"):
                download = self._other(outgoing, here)
            if not is_provider(host, port, own):
                # A download at an unknown host may be anything yet, so nothing about its request is changed.
                return Inspected(context=here, call=download) if download is not None else None
        trusted = host.lower() in self._baggage_hosts
        inspected = Inspected(
            context=context.set_value(_IN_CALL, True, here if trusted else _private(here)),  # noqa: FBT003 - its API
            call=download,
            dropped_headers=() if trusted else _not_signed(_KEPT_BACK, outgoing.headers),
        )
        if route is not None and outgoing.body and is_instrumentation_enabled():
            with guard("inspecting a request"):
                return self._start(route, outgoing, inspected, here)
        return inspected

    def _other(self, outgoing: Outgoing, here: Context) -> ResultsDownload | None:
        """Begin to read results of calls that were made earlier; warn of calls that are not seen."""
        host, port, own = outgoing.host, outgoing.port, self._openai_hosts
        if outgoing.method == "POST":
            warn_of_request(host, outgoing.path, port, own)
        elif outgoing.method == "GET":
            if outgoing.headers.get("upgrade", "").lower() == "websocket":
                warn_of_websocket(host, outgoing.path, port, own)
            elif (
                self._downloads
                and (found := results_at(host, outgoing.path, port, own))
                and is_instrumentation_enabled()
            ):
                source, provider, name = found
                known = {attributes.GEN_AI_PROVIDER_NAME: provider, attributes.SERVER_ADDRESS: host, **labels(here)}
                return ResultsDownload(self._downloads, source, name, known)
        return None

    def stop_asking(self, outgoing: Outgoing) -> None:
        """Note that a server refuses to be asked for usage, or answers in a form that it is hard to be taken out of."""
        self._do_not_ask.add((outgoing.host, outgoing.port))

    def _start(self, route: Route, outgoing: Outgoing, inspected: Inspected, here: Context) -> Inspected | Undecided:
        assert outgoing.body is not None
        try:
            body: Any = json.loads(outgoing.body)
        except ValueError:  # no model takes anything else
            return inspected
        facts = route.dialect.read_request(outgoing.path.rstrip("/"), body) if isinstance(body, dict) else None
        if facts is None:
            return inspected
        said = labels(here)
        purpose, demands = self._purpose(facts, outgoing, body, said.get(attributes.P402_TASK_TYPE))
        asked = Asked(
            route=route,
            facts=facts,
            path=outgoing.path,
            body=body,
            raw=outgoing.body,
            said={**said, **purpose},
            complexity=demands,
            changeable=outgoing.can_change and not _signed(outgoing.headers),
        )
        admission = None
        if self._gate is not None:
            with guard("deciding about a call"):
                admission = self._gate.admit(asked)
        if isinstance(admission, Pending):
            return Undecided(admission, partial(self._go_on, asked, outgoing, inspected, here), inspected)
        return self._go_on(asked, outgoing, inspected, here, admission)

    def _go_on(
        self, asked: Asked, outgoing: Outgoing, inspected: Inspected, here: Context, admission: Admission | None
    ) -> Inspected:
        """Start the call that a decision leaves, or end it here; if that fails, nothing stays taken for it."""
        try:
            return self._begin(asked, outgoing, inspected, here, admission)
        except BaseException:
            if admission is not None:
                admission.finish(None)
            raise

    def _begin(
        self, asked: Asked, outgoing: Outgoing, inspected: Inspected, here: Context, admission: Admission | None
    ) -> Inspected:
        made = Changes(asked.facts) if admission is None else changes(asked, admission)
        facts, route = made.facts, asked.route
        body = asked.body if made.body is None else made.body
        asking = route.tells_when_asked and facts.stream and outgoing.can_hide and not asks_for_usage(body)
        asking = asking and (outgoing.host, outgoing.port) not in self._do_not_ask and not _signed(outgoing.headers)
        current = trace.get_current_span(here)
        identity = (trace_of(current), f"{outgoing.host}{outgoing.path}", asked.raw)
        attempt = self._attempts.begin(*identity, _retry_count(outgoing.headers))
        span, seen = self._spans.start(
            f"{facts.operation} {facts.model}",
            here,
            {
                **asked.said,
                **({} if asked.complexity is None else {attributes.P402_COMPLEXITY: asked.complexity}),
                **_request_attributes(route, facts, outgoing),
                attributes.P402_REQUEST: attempt.request,
                **({attributes.HTTP_REQUEST_RESEND_COUNT: attempt.number} if attempt.number else {}),
                **({attributes.P402_OUTER_SPAN_SCOPE: scope} if (scope := outer_span_scope(current)) else {}),
                **({} if admission is None else admission.attributes(asked.facts.model)),
            },
            after=attempt.after,
        )
        if made.refusal is not None:
            span.end()
            return Inspected(context=inspected.context, refusal=made.refusal)
        raw = asked.raw if made.body is None or made.body == asked.body else write_body(made.body)
        call = Call(
            span,
            route.dialect,
            facts,
            raw,
            hides_usage=asking,
            on_failure=lambda: self._attempts.failed(attempt, span.get_span_context(), *identity),
            on_end=None if admission is None else partial(settle, asked, admission),
            content=self._content,
        )
        sent = _asking_for_usage(body, raw) if asking else raw
        return Inspected(
            context=_with_span(inspected.context, seen, private=bool(inspected.dropped_headers)),
            call=call,
            dropped_headers=inspected.dropped_headers,
            headers=_AS_IT_IS if asking else _NOTHING,  # we take an event out of these bytes
            body=None if sent is asked.raw else sent,
            path=made.path,
        )

    def _purpose(
        self, facts: RequestFacts, outgoing: Outgoing, body: Mapping[str, Any], said: str | None
    ) -> tuple[dict[str, str], int | None]:
        """Tell what a call is for: its pattern, and the kind of work, as the application says or as it looks; how complex."""
        known: dict[str, str] = {}
        demands: int | None = None
        with guard("telling what a call is for"):
            ends = ends_of(body, _MOST_CHARACTERS)
            known[attributes.P402_PROMPT_PATTERN] = prompt_pattern(self._content.key, facts.operation, body, ends)
            if said:
                known[attributes.P402_TASK_TYPE_SOURCE] = "application"
            elif task := infer(facts.operation, outgoing.path, body, ends):
                known[attributes.P402_TASK_TYPE], confidence = task
                known[attributes.P402_TASK_TYPE_SOURCE] = "inferred"
                known[attributes.P402_TASK_TYPE_CONFIDENCE] = confidence.value
            demands = complexity(facts.operation, body, ends, len(outgoing.body or b""), facts.max_tokens)
        return known, demands


def _request_attributes(route: Route, facts: RequestFacts, outgoing: Outgoing) -> dict[str, str | int | bool]:
    known: dict[str, str | int | bool] = {
        attributes.GEN_AI_OPERATION_NAME: facts.operation,
        attributes.GEN_AI_PROVIDER_NAME: route.provider,
        attributes.GEN_AI_REQUEST_MODEL: facts.model,
        attributes.SERVER_ADDRESS: outgoing.host,
    }
    if facts.stream:
        known[attributes.GEN_AI_REQUEST_STREAM] = True
    if facts.max_tokens is not None:
        known[attributes.GEN_AI_REQUEST_MAX_TOKENS] = facts.max_tokens
    if outgoing.port is not None:
        known[attributes.SERVER_PORT] = outgoing.port
    return known


def _asking_for_usage(body: Mapping[str, Any], raw: bytes) -> bytes:
    """Add `stream_options.include_usage`, leaving every other byte as it is where that can be done."""
    if "stream_options" not in body:
        return _ASK_FOR_USAGE + raw.lstrip()[1:]
    options = body["stream_options"] or {}
    return write_body({**body, "stream_options": {**options, "include_usage": True}})


def _retry_count(headers: Mapping[str, str]) -> int | None:
    """Read the attempt's number that the openai and anthropic SDKs send; 0 is the first."""
    value = headers.get("x-stainless-retry-count", "")
    return int(value) if value.isdecimal() else None


def _signed(headers: Mapping[str, str]) -> frozenset[str] | None:
    """Name the headers that Amazon's signature covers, beside the body; None if the request is not signed."""
    signature = headers.get("authorization", "")
    if not signature.startswith("AWS4-"):
        return None
    return frozenset(signature.partition("SignedHeaders=")[2].partition(",")[0].split(";"))


def _not_signed(names: tuple[str, ...], headers: Mapping[str, str]) -> tuple[str, ...]:
    """Leave out what cannot be taken off without the provider refusing the request."""
    signed = _signed(headers)
    return tuple([name for name in names if name not in signed]) if signed else names


def _private(here: Context) -> Context:
    current = trace.get_current_span(here)
    plain = without_baggage(here)
    return _with_span(plain, current, private=True) if current.get_span_context().trace_state else plain


def _with_span(here: Context, span: Span, *, private: bool) -> Context:
    """Make a span the current one; in private without its tracestate, which propagators would send along."""
    known = span.get_span_context()
    if private and known.trace_state:
        span = NonRecordingSpan(SpanContext(known.trace_id, known.span_id, known.is_remote, known.trace_flags))
    return trace.set_span_in_context(span, here)
