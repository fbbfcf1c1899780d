"""What the pages have in common that change something: who may, who did it, the form, and where it leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from p402.collector.api.bodies import form_body
from p402.collector.api.endpoint import Media
from p402.collector.dashboard.shell import HTML
from p402.collector.dashboard.view import View

__all__ = ["AGAIN", "FORM", "WRITES_RULES", "Told", "form_of", "is_part", "see_other"]

WRITES_RULES = "budgets:write"
"""The scope that writes budgets and policies."""

FORM: Mapping[str, str] = {"application/x-www-form-urlencoded": "The form of the page."}
AGAIN = (HTML, Media("application/problem+json"))
"""What a form that is wrong gets: the page again, with what was typed; or, for other faults of the request, a problem."""

_LARGEST_FORM = 128 * 1024  # bytes, as it arrives


class Told(View):
    """The query of a page with forms: it is told there what was done."""

    done: Annotated[
        Literal["saved", "unchanged", "made", "retired", "override", "ended", "resolved"] | None,
        Field(exclude=True, description="What was just done, to be told once; as the page redirects."),
    ] = None


async def form_of(request: web.Request) -> dict[str, str]:
    """Read a form; of a field that comes twice the last value counts, and spaces around a line do not.

    Raises:
        BadRequest: if it is something else, or too large.
    """
    sent = await form_body(request, _LARGEST_FORM)
    return {name: _clean(value) for name, value in sent.items()}


def is_part(request: web.Request) -> bool:
    """Tell whether a script asks for a part of the page, to put it where it belongs."""
    return request.headers.get("HX-Request") == "true"


def see_other(address: str) -> web.Response:
    """Send a browser on after a form, so that loading the page anew does not send the form again."""
    return web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})


def _clean(value: str) -> str:
    """Take away what no text needs; the beginning of several lines stays, since its indentation may mean something."""
    text = value.replace("\r\n", "\n").replace("\x00", "")
    return text.rstrip() if "\n" in text else text.strip()
