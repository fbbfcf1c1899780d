"""What people fill in: read as browsers send it, with the models of the API's bodies; what is wrong in words; where it leads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from p402.collector.api.bodies import form_body
from p402.collector.api.endpoint import Media
from p402.collector.dashboard.shell import HTML
from p402.collector.dashboard.view import View

__all__ = [
    "AGAIN",
    "FORM",
    "FORM_TYPE",
    "WRITES_RULES",
    "Told",
    "WrongForm",
    "fields_of",
    "form_of",
    "is_part",
    "read_fields",
    "see_other",
    "shown",
]

FORM_TYPE = "application/x-www-form-urlencoded"
FORM: Mapping[str, str] = {FORM_TYPE: "The form of the page."}
AGAIN = (HTML, Media("application/problem+json"))
"""What a form that is wrong gets: the page again, with what was typed; or, for other faults of the request, a problem."""
WRITES_RULES = "budgets:write"
"""The scope that writes budgets and policies."""

_LARGEST_FORM = 128 * 1024  # bytes, as it arrives

Shape = TypeVar("Shape", bound=BaseModel)


class WrongForm(ValueError):
    """Something that was filled in is not as it must be; ``problems`` has a sentence for each field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = dict(problems)


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


async def fields_of(request: web.Request) -> dict[str, str]:
    """Give what was filled in, without spaces around it; what was left empty is left out."""
    found = {name: value.strip() for name, value in (await form_body(request)).items()}
    return {name: value.replace("\r\n", "\n") for name, value in found.items() if value}


def shown(texts: Mapping[str, str] | None) -> Mapping[str, str]:
    """Give texts to a template, which finds nothing where there is none."""
    return defaultdict(str, texts or {})


def read_fields(shape: type[Shape], fields: Mapping[str, Any], labels: Mapping[str, str]) -> Shape:
    """Read fields into a model.

    Args:
        shape: the model.
        fields: by the name that the model has for them.
        labels: what the page calls each of them.

    Raises:
        WrongForm: saying what is wrong with which field.
    """
    try:
        return shape.model_validate(dict(fields))
    except ValidationError as error:
        problems: dict[str, str] = {}
        for found in error.errors(include_url=False, include_context=False):
            name = str(found["loc"][0]) if found["loc"] else ""
            label = labels.get(name, name.replace("_", " ").capitalize()) if name else "This"
            problems.setdefault(name, f"{label}: {_sentence(found)}.")
        raise WrongForm(problems) from error


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


def _sentence(found: Any) -> str:
    if found["type"] == "missing":
        return "is needed"
    message = str(found["msg"]).removeprefix("Value error, ").rstrip(".")
    return message[:1].lower() + message[1:]
