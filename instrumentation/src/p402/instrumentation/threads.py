"""Attribution in threads: `pool.submit(in_context(work), …)`.

A new thread starts with an empty context, and so do `ThreadPoolExecutor` and `loop.run_in_executor`. Where
`opentelemetry-instrumentation-threading` is on, this is not needed; `asyncio.to_thread` never needs it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from opentelemetry import context

__all__ = ["in_context"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def in_context(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a function that runs in the context (attribution, session, trace) in which `in_context` is called now.

    It may run any number of times, at the same time too, in any thread.

    Raises:
        TypeError: for coroutine and generator functions, whose bodies run later; tasks take their context along anyway.
    """
    if (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    ):
        raise TypeError(f"in_context() carries plain functions into threads; {function.__qualname__} is none.")
    here = context.get_current()

    @functools.wraps(function)
    def carried(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        token = context.attach(here)
        try:
            return function(*args, **kwargs)
        finally:
            context.detach(token)

    return carried
