"""What forwarding needs from storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from p402.exporters.otlp import Facts

__all__ = ["Batch", "ForwardQueue", "SpanPlace"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One request as it is kept, without content."""

    seq: int
    body: bytes
    """An encoded ``ExportTraceServiceRequest``."""
    spans: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class SpanPlace:
    """A span, as far as facts about it are looked for."""

    key: bytes
    """16 bytes of trace id and 8 of span id."""
    is_root: bool
    is_refused: bool = False
    """Whether it says that its call was never made."""


class ForwardQueue(Protocol):
    """The spans that wait, in the order in which they were taken in, with one place in it for each backend."""

    async def next(self, backend: str, at_most_bytes: int) -> list[Batch]:
        """Give the next batches for a backend; one at least, if any waits."""
        ...

    async def facts(self, places: Sequence[SpanPlace]) -> Mapping[bytes, Facts]:
        """Give what the ledger knows of spans, by their key."""
        ...

    async def passed(self, backend: str, seq: int) -> None:
        """Note that a backend has everything up to a batch."""
        ...

    async def tidy(self, backends: Sequence[str], at_most_bytes: int, at: datetime) -> Mapping[str, int]:
        """Forget what every backend has, and the oldest if the queue is too large; gives the spans lost to each."""
        ...

    async def clear(self) -> None:
        """Forget everything: no backend is configured any more."""
        ...

    async def waiting(self, backends: Sequence[str]) -> Mapping[str, int]:
        """Count the spans that wait for each backend."""
        ...
