"""Errors as RFC 9457 problem documents: the only way an error leaves the API.

The ``type`` of a problem is ``about:p402/<name>``; ``title`` is the same for every problem of a type, ``detail`` says
what was wrong, where, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, NotRequired

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.access.id_token import IdTokenRefused, SigningKeyUnknown
from p402.collector.access.roles import NoRole
from p402.collector.privacy.suppression_file import SuppressionFileUnusable
from p402.collector.privacy.vault_keys import VaultKeyUnusable
from p402.vocabulary import P402Error, Permanent, Transient

__all__ = [
    "BadRequest",
    "Conflict",
    "Forbidden",
    "NotFound",
    "PaymentRequired",
    "PreconditionFailed",
    "Problem",
    "TooManyRequests",
    "Unauthorised",
    "UnprocessableContent",
    "problem_middleware",
    "status_of",
    "title_of",
]

log = structlog.get_logger(__name__)


class BadRequest(Permanent):
    """Something in the request is not as it must be; ``errors`` of the problem point at each place."""

    def __init__(self, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class Unauthorised(Permanent):
    """The request shows no valid API key."""


class Forbidden(Permanent):
    """The API key does not allow this."""


class NotFound(Permanent):
    """There is no such thing, or the key may not know of it."""


class PreconditionFailed(Permanent):
    """What is to be changed is no longer what the request says it is."""


class PaymentRequired(Permanent):
    """A budget or a policy forbids the call; the problem has the members of the decision too."""

    def __init__(self, detail: str, decision: Mapping[str, Any]) -> None:
        super().__init__(detail)
        self.decision = decision


class TooManyRequests(Transient):
    """The API key asks more often than it may."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        """In seconds."""


class Conflict(Permanent):
    """What is asked for does not go with what was done before."""


class UnprocessableContent(Permanent):
    """An ``Idempotency-Key`` came with another question before (draft-ietf-httpapi-idempotency-key-header)."""


class Wrong(TypedDict):
    """One place of a request that is not as it must be."""

    detail: str
    place: NotRequired[str]
    """In a document: line and column, or resource and attribute."""
    parameter: NotRequired[str]
    """Of the query."""
    pointer: NotRequired[str]
    """Into the body (RFC 6901, as a fragment)."""


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: Annotated[str, Field(examples=["about:p402/bad-request"])]
    title: Annotated[str, Field(examples=["Bad request"])]
    status: Annotated[int, Field(examples=[400])]
    detail: Annotated[
        str, Field(examples=["The query parameter limit must be a whole number from 1 to 1000; got '0'."])
    ]
    errors: NotRequired[list[Wrong]]


_STATUS: dict[type[P402Error], int] = {
    BadRequest: 400,
    Unauthorised: 401,
    PaymentRequired: 402,
    Forbidden: 403,
    IdTokenRefused: 403,
    NoRole: 403,
    SigningKeyUnknown: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    VaultKeyUnusable: 500,
    SuppressionFileUnusable: 500,
    UnprocessableContent: 422,
    TooManyRequests: 429,
}


def status_of(error: P402Error) -> int:
    """Give the HTTP status of an error: 503 when trying again may help, else 400 or its own."""
    return _STATUS.get(type(error), 503 if isinstance(error, Transient) else 400)


def title_of(kind: str) -> str:
    """Give the title of problems of a kind, which is the name of an error's class: ``Not found``."""
    return _words(kind).replace("-", " ").capitalize()


def _words(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind).lower()


def _problem(
    status: int,
    kind: str,
    detail: str,
    headers: dict[str, str] | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> web.Response:
    body = {
        "type": f"about:p402/{_words(kind)}",
        "title": title_of(kind),
        "status": status,
        "detail": detail,
        **more,
    }
    return web.json_response(body, status=status, headers=headers, content_type="application/problem+json")


def _more(error: P402Error) -> Mapping[str, Any]:
    """Give the members of a problem besides those that every one has."""
    match error:
        case PaymentRequired(decision=decision):
            return decision
        case BadRequest(errors=errors) if errors:
            return {"errors": list(errors)}
        case _:
            return {}


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what handlers raise into problem documents. What we did not foresee is logged, and told without details."""
    try:
        return await handler(request)
    except P402Error as error:
        status = status_of(error)
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorised) else {}
        if isinstance(error, Transient):
            headers["Retry-After"] = str(error.retry_after if isinstance(error, TooManyRequests) else 1)
        return _problem(status, type(error).__name__, str(error), headers, _more(error))
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.method} is not possible here; {request.path} takes {allowed}."
        return _problem(405, "MethodNotAllowed", detail, {"Allow": allowed})
    except web.HTTPNotFound:
        return _problem(
            404, "NotFound", f"Nothing is at {request.path}. The README of the collector lists what there is."
        )
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004 - redirects are no problems
            raise
        return _problem(error.status, error.reason.replace(" ", ""), error.text or error.reason)
    except Exception:
        resource = request.match_info.route.resource
        log.exception("request_failed", method=request.method, route=None if resource is None else resource.canonical)
        return _problem(500, "InternalError", "The collector failed at this request; its log has the details.")
