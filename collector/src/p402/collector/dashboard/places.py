"""Where lists go on: the places that pages link to (pure)."""

from __future__ import annotations

from p402.collector.api.problem import BadRequest
from p402.collector.storage.calls import Place

__all__ = ["cursor_of", "place_of"]

_DIGITS = 19  # of a number of 64 bits


def place_of(before: str | None) -> Place | None:
    """Read the parameter ``before`` of a page.

    Raises:
        BadRequest: if no page links to such a place.
    """
    if before is None:
        return None
    try:
        return Place.parse(before)
    except ValueError as error:
        raise BadRequest("The query parameter before is not one that a page has linked to.") from error


def cursor_of(before: str | None) -> tuple[int, str] | None:
    """Read the parameter ``before`` of a page whose list goes by a time and an id, as ``1778835600000~exp_01J…``.

    Raises:
        BadRequest: if no page links to such a place.
    """
    if before is None:
        return None
    moment, _, id_ = before.partition("~")
    if not (moment.isascii() and moment.isdigit() and len(moment) < _DIGITS):
        raise BadRequest("The query parameter before is not one that a page has linked to.")
    return int(moment), id_
