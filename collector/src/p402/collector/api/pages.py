"""What list endpoints share: which organisation is asked about, and cursor pagination."""

from __future__ import annotations

from aiohttp import web

from p402.collector.api.auth import Principal
from p402.collector.api.problem import BadRequest, Forbidden
from p402.vocabulary import is_valid_id

__all__ = ["MAX_LIMIT", "integer", "organisation_of"]

MAX_LIMIT = 1000


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


def organisation_of(request: web.Request, principal: Principal, default: str) -> str:
    """Tell which organisation a request is about: the key's, else the query's, else the collector's default.

    Raises:
        BadRequest: if the parameter is no id.
        Forbidden: if the key is bound to another organisation.
    """
    asked = request.query.get("organisation")
    if asked is not None and not is_valid_id(asked):
        raise BadRequest("The query parameter organisation must be 1 to 256 printable characters.")
    bound = principal.bound_to.organisation
    if bound is not None and asked not in (None, bound):
        raise Forbidden("The API key is bound to another organisation.")
    return bound or asked or default
