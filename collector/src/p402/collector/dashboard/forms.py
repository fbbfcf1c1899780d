"""What people fill in: read with the same models as the API's bodies, and what is wrong with it in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from p402.collector.api.bodies import form_body

__all__ = ["FORM", "WrongForm", "fields_of", "read_fields", "shown"]

FORM = "application/x-www-form-urlencoded"
Shape = TypeVar("Shape", bound=BaseModel)


class WrongForm(ValueError):
    """Something that was filled in is not as it must be; ``problems`` has a sentence for each field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = dict(problems)


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


def _sentence(found: Any) -> str:
    if found["type"] == "missing":
        return "is needed"
    message = str(found["msg"]).removeprefix("Value error, ").rstrip(".")
    return message[:1].lower() + message[1:]
