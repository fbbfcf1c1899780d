"""Background work, as an observer sees it: what it is, how long it took, and what it did. By default nobody observes.

A look that finds nothing to do is no work: it says nothing, and an observer forgets it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

__all__ = ["Observe", "Work", "unobserved"]


class Work(Protocol):
    """A piece of work, from the beginning of the block to its end."""

    def did(self, **figures: int | str) -> None:
        """Say that there was something to do, and what; never who it was about: observers show it to others."""
        ...


class Observe(Protocol):
    """``with observe("seal receipts") as work:``."""

    def __call__(self, name: str, /) -> AbstractContextManager[Work]:
        """Begin a piece of work."""
        ...


class _Unseen:
    def did(self, **figures: int | str) -> None:
        """Tell nobody."""


_UNSEEN: AbstractContextManager[Work] = nullcontext(_Unseen())


def unobserved(_: str, /) -> AbstractContextManager[Work]:
    """Observe nothing."""
    return _UNSEEN
