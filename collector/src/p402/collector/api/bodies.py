"""Bodies of requests that change something: small, JSON of a known shape or a form of a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import parse_qsl, quote

from aiohttp import web
from pydantic import BaseModel, ValidationError

from p402.collector.api.problem import BadRequest
from p402.collector.field_problems import problems_of

__all__ = ["LARGEST_BODY", "form_body", "form_fields", "json_body", "whole_body"]

Body = TypeVar("Body", bound=BaseModel)
LARGEST_BODY = 64 * 1024  # bytes
_JSON = "application/json"


async def json_body(request: web.Request, shape: type[Body], largest: int = LARGEST_BODY) -> Body:
    """Read the body of a request, of so many bytes at most.

    Raises:
        BadRequest: naming each field that is wrong, and what it should be.
    """
    if request.headers.get("Content-Type") != _JSON and request.content_type != _JSON:  # most say just that
        raise BadRequest("The body must be JSON, sent with Content-Type: application/json.")
    body = await whole_body(request, largest)
    try:
        return shape.model_validate_json(body, strict=True)  # false is no number, and 0 no time
    except ValidationError as error:
        errors = [
            {"pointer": _pointer(problem["loc"]), "detail": problem["msg"].removeprefix("Value error, ")}
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise BadRequest(f"The body is not as it must be. {problems_of(error, 'body')}.", errors) from error


async def form_body(request: web.Request, largest: int = LARGEST_BODY) -> dict[str, str]:
    """Read a form that a browser sends; of a field that is there twice, the last. See `form_fields`."""
    return dict(await form_fields(request, largest))


async def form_fields(request: web.Request, largest: int = LARGEST_BODY) -> list[tuple[str, str]]:
    """Read the fields of a form that a browser sends, of so many bytes at most.

    Raises:
        BadRequest: if it is no form.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise BadRequest("The body must be a form, sent with Content-Type: application/x-www-form-urlencoded.")
    body = await whole_body(request, largest)
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise BadRequest("The form cannot be decoded.") from error


async def whole_body(request: web.Request, largest: int) -> bytes:
    """Read a body as it is, of so many bytes at most.

    Raises:
        BadRequest: if it is larger.
    """
    content = request.content
    body = await content.read(largest + 1)
    while len(body) <= largest and not content.at_eof():
        body += await content.read(largest + 1)
    if len(body) > largest:
        raise BadRequest(f"The body is larger than {largest} bytes.")
    return body


def _pointer(place: Sequence[int | str]) -> str:
    """Write a place in the body as a JSON pointer (RFC 6901), as a fragment."""
    return "#" + "".join(f"/{quote(str(part).replace('~', '~0').replace('/', '~1'))}" for part in place)
