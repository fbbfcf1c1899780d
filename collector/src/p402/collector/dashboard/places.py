"""Where lists go on: the places that pages link to (pure)."""

from __future__ import annotations

from p402.collector.api.problem import BadRequest
from p402.collector.storage.calls import Place

__all__ = ["place_of"]


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
