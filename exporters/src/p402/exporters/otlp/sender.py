"""Sends batches to an OTLP backend, and reads from its answer whether to try again.

Source: opentelemetry-proto ``docs/specification.md``: over HTTP 429, 502, 503 and 504 may be tried again, after
``Retry-After`` if that is there; every other 4xx or 5xx means that the batch is to be dropped.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Protocol

import aiohttp
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from p402.exporters.otlp.policy import AttributePolicy

__all__ = ["Answer", "Backend", "HttpSender", "Sender", "Verdict", "taken"]

_RETRIED = frozenset({429, 502, 503, 504})
_TOO_LARGE = 413
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_LONGEST_WAIT = 300.0  # seconds; a backend that asks for more is asked again before
_LARGEST_ANSWER = 64 * 1024


class Verdict(StrEnum):
    """What is to become of a batch."""

    TAKEN = "taken"
    RETRY = "retry"
    SPLIT = "split"
    """It is larger than the backend takes."""
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend made of a batch."""

    verdict: Verdict
    problem: str | None = None
    """Why it was not taken, or which spans of it were not."""
    wait_seconds: float | None = None
    """How long the backend wants to be left alone."""
    rejected_spans: int = 0
    """Of a batch that was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where spans go."""

    name: str
    """In logs, metrics and the queue's cursor."""
    url: str
    """Of the traces endpoint, such as ``http://jaeger:4318/v1/traces``."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    policy: AttributePolicy = field(default_factory=AttributePolicy)
    compress: bool = True


class Sender(Protocol):
    """A way to a backend."""

    async def send(self, body: bytes) -> Answer:
        """Send one encoded ``ExportTraceServiceRequest``. Raises nothing: what went wrong is in the answer."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class HttpSender:
    """OTLP/HTTP with protobuf."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._session: aiohttp.ClientSession | None = None

    async def send(self, body: bytes) -> Answer:
        """Send one batch."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        headers = {**self._backend.headers, "Content-Type": "application/x-protobuf"}
        if self._backend.compress:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1, mtime=0)
        try:
            async with self._session.post(
                self._backend.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                answer = await response.content.read(_LARGEST_ANSWER)
                return _judge(response.status, response.headers, answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Answer(Verdict.RETRY, f"{type(error).__name__}: {str(error)[:200]}")

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()


def _judge(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP
        return taken(body)
    problem = f"the backend answered {status}"
    if status in _RETRIED:
        return Answer(Verdict.RETRY, problem, _retry_after(headers.get("Retry-After")))
    if status == _TOO_LARGE:
        return Answer(Verdict.SPLIT, problem)
    return Answer(Verdict.DROP, problem)


def taken(body: bytes) -> Answer:
    """Read an answer to a request that was accepted, perhaps in part."""
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Answer(Verdict.TAKEN)  # some answer with JSON or nothing, whatever they were asked in
    if not partial.rejected_spans:
        return Answer(Verdict.TAKEN)
    return Answer(Verdict.TAKEN, partial.error_message[:200], rejected_spans=partial.rejected_spans)


def _retry_after(text: str | None) -> float | None:
    """Read seconds or a date (RFC 9110 §10.2.3)."""
    if text is None:
        return None
    try:
        seconds = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)
