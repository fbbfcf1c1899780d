"""Stops work between two calls, as when the power is gone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["Fuse", "Fused", "Stopped"]


class Stopped(Exception):
    """The power is gone."""


class Fuse:
    """Blows at the so-many-th point between two calls, once."""

    def __init__(self, left: int) -> None:
        self.left = left

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped

    @property
    def blew(self) -> bool:
        return self.left <= 0


class Fused:
    """Passes calls on to a store or a settler, and may stop before or after each."""

    def __init__(self, target: Any, fuse: Fuse) -> None:
        self._target, self._fuse = target, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found
        return partial(self._awaited if inspect.iscoroutinefunction(found) else self._called, found)

    async def _awaited(self, found: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self._fuse.burn()
        answer = await found(*arguments, **options)
        self._fuse.burn()
        return answer

    def _called(self, found: Callable[..., Any], *arguments: Any) -> Any:
        """Signing is not awaited: it happens inside the change that stores the bytes."""
        self._fuse.burn()
        answer = found(*arguments)
        self._fuse.burn()
        return answer
