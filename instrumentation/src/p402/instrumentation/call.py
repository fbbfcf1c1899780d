"""The life of one HTTP attempt at calling a model: it starts, things become known, it finishes exactly once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from p402.instrumentation.content import Content
from p402.instrumentation.guard import guard
from p402.instrumentation.lines import LineParser
from p402.instrumentation.media_types import media_type
from p402.instrumentation.providers import Answer, Dialect, RequestFacts
from p402.instrumentation.providers.openai import is_usage_event
from p402.instrumentation.shapes import Shapes
from p402.instrumentation.used import Response, StreamEnd, usage_attributes, used
from p402.vocabulary import Usage, attributes

__all__ = ["Call", "StreamEnd"]

_FIRST_ERROR = 400
_MAY_BE_RETRIED = frozenset({408, 409, 425, 429})
_FIRST_SERVER_ERROR = 500


class Call:
    """One attempt and its span. Methods may be called from several threads; after `finish` they change nothing."""

    framing: Callable[[], LineParser] | None = None
    """Makes what takes the body apart, where its content type does not tell."""
    catch_up: Callable[[], None] | None = None
    """Reads what of the body was put off."""

    def __init__(
        self,
        span: Span,
        dialect: Dialect,
        facts: RequestFacts,
        body: bytes,
        *,
        hides_usage: bool = False,
        on_failure: Callable[[], None] = lambda: None,
        on_end: Callable[[Usage | None, str | None], None] | None = None,
        content: Content | None = None,
    ) -> None:
        self.hides_usage = hides_usage
        """Whether the stream's usage event is there because we asked for it, so that the application must not see it."""
        self._span = span
        self._dialect = dialect
        self._facts = facts
        self._body = body
        self._on_failure = on_failure
        self._on_end = on_end
        """Told what was used, and how the call was served, when the span has ended."""
        self._used: Usage | None = None
        self._content = content
        self._answer = Answer()
        self._shapes: Shapes | None = None
        self._response = Response()
        self._done = False
        self._started = time.perf_counter()
        self._first_chunk: float | None = None
        self._lock = threading.Lock()
        self._finished = False

    def answered(self, status: int, content_type: str) -> None:
        """Note that the response's headers have come."""
        self._response.status, self._response.kind = status, media_type(content_type)

    def chunk(self) -> None:
        """Note that a piece of the body has come."""
        if self._first_chunk is None:
            self._first_chunk = time.perf_counter() - self._started

    def unreadable(self) -> None:
        """Note that we cannot read the body, so that an estimate of it would be nonsense."""
        self._response.readable = False

    def event(self, data: bytes) -> bool:
        """Read one event of the stream; True if the application must not see it."""
        if self._shapes is not None and (text := self._shapes.text_in(data)) is not None:
            self._answer.add_unread(text)
            return False
        if not data.startswith(b"{"):
            self._done = self._done or data == b"[DONE]"
            return False
        with guard("reading a stream"):
            try:
                document = json.loads(data)
            except ValueError:  # the stream was cut here
                return False
            hidden = self.hides_usage and is_usage_event(document)
            self._read_event(data, document, learn=not hidden)
            return hidden
        self._response.readable = False
        return False

    def _read_event(self, data: bytes, document: Any, *, learn: bool) -> None:
        self._response.is_read = True
        shapes = self._shapes = self._shapes or Shapes()
        answer, known, before = self._answer, self._answer.facts(), len(self._answer.pieces)
        self._dialect.read(document, answer)
        if not learn or answer.facts() != known:
            shapes.forget()
        elif shapes.worth_learning:
            self._learn(shapes, data, document, answer.pieces[before:])

    def _learn(self, shapes: Shapes, data: bytes, document: Any, added: list[str | bytes]) -> None:
        """Learn the shape of an event that added texts, if another like it would do the same."""
        again = self._answer.again()
        kept = len(again.pieces)
        self._dialect.read(document, again)
        if again.pieces[kept:] == added:
            shapes.learn(data, [text for text in added if isinstance(text, str)])

    def document(self, data: bytes) -> None:
        """Read the whole body of a response that is no stream of events."""
        with guard("reading a response"):
            try:
                body: Any = json.loads(data)
            except ValueError:
                self._response.is_torn = bool(data)
                return
            self._response.is_read = True
            for document in body if isinstance(body, list) else [body]:  # Gemini streams an array unless asked for SSE
                self._dialect.read(document, self._answer)
            self._answer.usage_is_final = self._answer.usage is not None
            return
        self._response.readable = False

    def finish(self, end: StreamEnd, error: BaseException | None = None) -> None:
        """End the span; only the first call of this does anything."""
        with self._lock:
            if self._finished:
                return
            self._finished = True
        try:
            with guard("finishing a call"):
                catch_up, self.catch_up = self.catch_up, None
                if catch_up is not None:  # the stream may have been dropped
                    catch_up()
                if isinstance(error, asyncio.CancelledError):
                    end = StreamEnd.CANCELLED
                elif error is None and (self._done or self._answer.usage_is_final):
                    end = StreamEnd.READ  # all that matters was; some SDKs close a stream at its last event
                self._conclude(end, error)
        finally:
            self._span.end()
            if self._on_end is not None:
                with guard("settling a call"):
                    self._on_end(self._used, self._answer.service_tier)

    def _conclude(self, end: StreamEnd, error: BaseException | None) -> None:
        answer = self._answer
        told = (
            (attributes.P402_STREAM_END, end.value),
            (attributes.HTTP_RESPONSE_STATUS_CODE, self._response.status),
            (attributes.GEN_AI_RESPONSE_ID, answer.id),
            (attributes.GEN_AI_RESPONSE_MODEL, answer.model),
            (attributes.GEN_AI_RESPONSE_FINISH_REASONS, answer.finish_reasons or None),
            (attributes.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, self._first_chunk if self._facts.stream else None),
        )
        known: dict[str, Any] = {name: value for name, value in told if value is not None}
        if answer.service_tier is not None:
            known[_tier_name(self._dialect)] = answer.service_tier
        if answer.cost_usd is not None:
            known[attributes.GEN_AI_USAGE_COST_AMOUNT] = answer.cost_usd
            known[attributes.GEN_AI_USAGE_COST_CURRENCY] = "USD"
        self._conclude_error(end, error)
        try:
            usage, source = used(self._facts, self._body, answer, self._response, end)
            self._used = usage
            if usage is not None:
                known |= usage_attributes(usage)
                known[attributes.P402_USAGE_SOURCE] = source.value
            with guard("telling of content"):
                if self._content is not None:
                    reason = answer.finish_reasons[-1] if answer.finish_reasons else None
                    known |= self._content.of(self._body, answer.said(), reason)
        finally:
            self._span.set_attributes(known)

    def _conclude_error(self, end: StreamEnd, error: BaseException | None) -> None:
        """Say that it failed and of what kind the error is; its message may quote the prompt, so it is left out."""
        kind = self._answer.error
        if error is not None and not isinstance(error, GeneratorExit):
            kind = _name(error)
        elif self._response.status is not None and self._response.status >= _FIRST_ERROR:
            kind = str(self._response.status)
        if kind is None or end is StreamEnd.CANCELLED:  # cancelling is the application's right
            return
        self._span.set_attribute(attributes.ERROR_TYPE, kind)
        self._span.set_status(Status(StatusCode.ERROR))
        status = self._response.status or 0
        if error is not None or status in _MAY_BE_RETRIED or status >= _FIRST_SERVER_ERROR:
            self._on_failure()


def _tier_name(dialect: Dialect) -> str:
    """Name the attribute for the service tier: the conventions have one for OpenAI's dialect only."""
    return attributes.OPENAI_RESPONSE_SERVICE_TIER if dialect.PROVIDER == "openai" else attributes.P402_SERVICE_TIER


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
