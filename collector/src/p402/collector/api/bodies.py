"""Bodies of requests that change something: small, JSON, and of a known shape."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from p402.collector.api.problem import BadRequest
from p402.collector.routing.problems import problems_of

__all__ = ["json_body"]

Body = TypeVar("Body", bound=BaseModel)
_LARGEST = 64 * 1024


async def json_body(request: web.Request, shape: type[Body], largest: int = _LARGEST) -> Body:
    """Read the body of a request, of so many bytes at most.

    Raises:
        BadRequest: naming each field that is wrong, and what it should be.
    """
    if request.content_type != "application/json":
        raise BadRequest("The body must be JSON, sent with Content-Type: application/json.")
    body = await request.content.read(largest + 1)
    while len(body) <= largest and (more := await request.content.read(largest + 1)):
        body += more
    if len(body) > largest:
        raise BadRequest(f"The body is larger than {largest} bytes.")
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(f"The body is not as it must be. {problems_of(error, 'body')}.") from error
