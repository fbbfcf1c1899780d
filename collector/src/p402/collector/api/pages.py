"""What list endpoints share: which organisation is asked about, and cursor pagination."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from p402.collector.api.auth import Principal
from p402.collector.api.problem import BadRequest, Forbidden
from p402.vocabulary import is_valid_id

__all__ = ["MAX_LIMIT", "choice", "identifier", "integer", "organisation_of"]

MAX_LIMIT = 1000
OneOf = TypeVar("OneOf", bound=StrEnum)


def integer(request: web.Request, name: str, default: int, *, least: int, most: int) -> int:
    """Read a whole number from the query.

    Raises:
        BadRequest: naming the parameter and its bounds.
    """
    text = request.query.get(name)
    if text is None:
        return default
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1  # noqa: PLR2004 - 64 bits
    if not least <= value <= most:
        raise BadRequest(
            f"The query parameter {name} must be a whole number from {least} to {most}; got {text[:40]!r}."
        )
    return value


def choice(request: web.Request, name: str, choices: type[OneOf]) -> OneOf | None:
    """Read one of several words from the query; None if it is not there.

    Raises:
        BadRequest: naming the parameter and the words.
    """
    text = request.query.get(name)
    if text is not None and text not in set(choices):
        words = ", ".join(choices)
        raise BadRequest(f"The query parameter {name} must be one of {words}; got {text[:40]!r}.")
    return None if text is None else choices(text)


def identifier(request: web.Request, name: str) -> str | None:
    """Read the id of a node from the query; None if it is not there.

    Raises:
        BadRequest: naming the parameter.
    """
    text = request.query.get(name)
    if text is not None and not is_valid_id(text):
        raise BadRequest(f"The query parameter {name} must be 1 to 256 printable characters.")
    return text


def organisation_of(request: web.Request, principal: Principal, default: str) -> str:
    """Tell which organisation a request is about: the key's, else the query's, else the collector's default.

    Raises:
        BadRequest: if the parameter is no id.
        Forbidden: if the key is bound to another organisation.
    """
    asked = identifier(request, "organisation")
    bound = principal.bound_to.organisation
    if bound is not None and asked not in (None, bound):
        raise Forbidden("The API key is bound to another organisation.")
    return bound or asked or default
