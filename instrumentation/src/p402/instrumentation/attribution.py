"""Who calls are for: `with attribution(department="legal"):` and `with session():`.

What is said here travels in OpenTelemetry's context twice: as W3C baggage, so that it reaches the next service, and
under a key of our own, because baggage is taken away around calls of providers. Code wins over a caller's baggage,
which wins over the environment; a caller's baggage counts only if the caller is trusted (`server_spans`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Token
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context

from p402.instrumentation.server_spans import is_believed
from p402.vocabulary import Attribution, Level, is_valid_id, new_id
from p402.vocabulary.attributes import P402_DATA_CLASS, P402_TASK_TYPE

__all__ = [
    "attribution",
    "current_attribution",
    "label",
    "labels",
    "of_request",
    "session",
    "set_defaults",
    "without_baggage",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_KEY = context.create_key("p402-labels")
_JUDGED = context.create_key("p402-request-judged")
_NAMES = (*(level.attribute for level in Level if level is not Level.REQUEST), P402_TASK_TYPE, P402_DATA_CLASS)
_defaults: Mapping[str, str] = {}


class attribution:  # noqa: N801 - reads as a statement: `with attribution(department="legal"):`
    """Attribute all calls made inside to these ids; levels not given here keep what holds outside.

    Use it with ``with`` or ``async with``, or as a decorator of a function or a coroutine function. Ids are opaque
    text of 1 to 256 printable characters: an employee's id, not an e-mail address.

    Raises:
        ValueError: if a value cannot be an id.
        TypeError: if a generator function is decorated: its body runs in pieces, in its callers' contexts. Put
            ``with attribution(...):`` around the calls inside it.
    """

    def __init__(
        self,
        *,
        organisation: str | None = None,
        department: str | None = None,
        project: str | None = None,
        client: str | None = None,
        employee: str | None = None,
        session: str | None = None,
        task_type: str | None = None,
        data_class: str | None = None,
    ) -> None:
        given = (organisation, department, project, client, employee, session, task_type, data_class)
        self._labels = {name: value for name, value in zip(_NAMES, given, strict=True) if value is not None}
        for name, value in self._labels.items():
            if not is_valid_id(value):
                raise ValueError(
                    f"{name.removeprefix('p402.')} cannot be an id: it must be text of 1 to 256 printable characters "
                    "without spaces around it."
                )
        self._tokens: list[Token[Context]] = []

    def __enter__(self) -> Any:
        self._enter(self._labels)

    def __exit__(self, *_: object) -> None:
        # Tasks may share this object, and an async generator may be closed in a context that it was not begun in:
        # take the newest token that belongs to the context we are in, if there is one.
        for token in reversed(self._tokens):
            with suppress(ValueError, RuntimeError):
                token.var.reset(token)
                self._tokens.remove(token)
                return
        if self._tokens:
            self._tokens.pop()

    def _enter(self, said: Mapping[str, str]) -> None:
        here = context.get_current()
        stated = {**_stated(here), **said}
        for name, value in said.items():
            here = baggage.set_baggage(name, value, here)
        self._tokens.append(context.attach(context.set_value(_KEY, stated, here)))

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Decorate a function: each of its calls is attributed afresh."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{type(self).__name__}() cannot decorate the generator function {function.__qualname__}: "
                f"put `with {type(self).__name__}(...):` around the calls inside it."
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def attributed_coroutine(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return cast("Callable[_P, _R]", attributed_coroutine)

        @functools.wraps(function)
        def attributed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with self._again():
                return function(*args, **kwargs)

        return attributed

    def _again(self) -> attribution:
        """Make an equal one, so that calls that run at the same time do not share tokens."""
        again = object.__new__(type(self))
        again._labels = dict(self._labels)
        again._tokens = []
        return again


class session(attribution):  # noqa: N801 - reads as a statement: `with session() as session_id:`
    """Make all calls inside one session, and attribute them like `attribution`; gives the session's id.

    Without an id every ``with`` (and every call of a decorated function) begins a session of its own, ``sess_…``.
    """

    def __init__(
        self,
        session_id: str | None = None,
        *,
        organisation: str | None = None,
        department: str | None = None,
        project: str | None = None,
        client: str | None = None,
        employee: str | None = None,
        task_type: str | None = None,
        data_class: str | None = None,
    ) -> None:
        super().__init__(
            organisation=organisation,
            department=department,
            project=project,
            client=client,
            employee=employee,
            session=session_id,
            task_type=task_type,
            data_class=data_class,
        )
        self._given = session_id

    def __enter__(self) -> str:
        session_id = self._given or new_id("sess", datetime.now(UTC))
        self._enter({**self._labels, Level.SESSION.attribute: session_id})
        return session_id

    async def __aenter__(self) -> str:
        return self.__enter__()

    def _again(self) -> attribution:
        again = cast("session", super()._again())
        again._given = self._given  # noqa: SLF001 - of the same class
        return again


def current_attribution(of: Context | None = None) -> Attribution:
    """Tell who a call made here would be for: what code says, else a caller's baggage, else the environment."""
    return Attribution.from_attributes(labels(of))


def labels(of: Context | None = None, *, with_baggage: bool = True) -> dict[str, str]:
    """Give the same as span attributes, with task type and data class; without baggage for the span of a doubtful request."""
    here = context.get_current() if of is None else of
    inbound = baggage.get_all(here)
    said: dict[str, str] = {}
    if inbound and with_baggage and not context.get_value(_JUDGED, here):
        # A caller's nonsense counts as nothing said.
        said = {name: str(inbound[name]) for name in _NAMES if is_valid_id(inbound.get(name))}
        if said and not is_believed(trace.get_current_span(here)):
            said = {}
    return {**_defaults, **said, **_stated(here)}


def label(name: str) -> str:
    """Give the attribute of a level (all but ``request``), of ``task_type`` or of ``data_class``, by its short name.

    Raises:
        ValueError: if there is no such level.
    """
    if f"p402.{name}" in _NAMES:
        return f"p402.{name}"
    known = ", ".join(one.removeprefix("p402.") for one in _NAMES)
    raise ValueError(f"There is no level {name!r} to attribute to; the levels are {known}.")


def of_request(said: Mapping[str, str]) -> Context:
    """Make the context in which a server answers a request: what the request was allowed to say counts.

    All other baggage with our names is taken out of it, and none that is put in later counts. What code has said
    around the server wins.
    """
    here = context.get_current()
    stated = {**said, **_stated(here)}
    for name in _NAMES:
        here = baggage.remove_baggage(name, here)
    for name, value in stated.items():
        here = baggage.set_baggage(name, value, here)
    return context.set_value(_JUDGED, True, context.set_value(_KEY, stated, here))  # noqa: FBT003 - its API


def without_baggage(of: Context) -> Context:
    """Take all baggage out of a context; the attribution stays, for our own spans."""
    if not baggage.get_all(of):
        return of
    return context.set_value(_KEY, labels(of), baggage.clear(of))


def set_defaults(defaults: Attribution, task_type: str | None, data_class: str | None = None) -> None:
    """Say what holds where nothing else is said; the instrumentor does, from the environment."""
    global _defaults  # noqa: PLW0603 - it is the process's environment that it mirrors
    said = {P402_TASK_TYPE: task_type, P402_DATA_CLASS: data_class}
    _defaults = {**defaults.to_attributes(), **{name: value for name, value in said.items() if value}}


def _stated(here: Context) -> Mapping[str, str]:
    return cast("Mapping[str, str]", context.get_value(_KEY, here) or {})
