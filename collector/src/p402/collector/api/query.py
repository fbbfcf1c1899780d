"""The query of a request: a model says which parameters there are, and reading and describing both come from it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar, cast

from aiohttp import web
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from p402.collector.api.auth import Principal
from p402.collector.api.problem import BadRequest, Forbidden
from p402.vocabulary import Level, is_valid_id

__all__ = [
    "DIGITS",
    "MAX_LIMIT",
    "AfterNumber",
    "BodyTime",
    "Cursor",
    "Flag",
    "Limit",
    "Moment",
    "NodeId",
    "NodeLevel",
    "Page",
    "Query",
    "organisation_of",
    "read_query",
    "wrong_parameter",
]

MAX_LIMIT = 1000
_CURSOR = r"^[0-9]{1,19}~[^\x00]{0,300}$"
Asked = TypeVar("Asked", bound="Query")


def _whole(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) < 20):  # noqa: PLR2004 - 64 bits
        raise ValueError("not a whole number")
    return value


def _moment(value: object) -> object:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise ValueError("must be a time with a zone, such as 2026-11-01T00:00:00Z")
        return _in_utc(moment)
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be a time from the year 1 to 9999 in UTC") from error


def _flag(value: object) -> object:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("neither true nor false")
        return value == "true"
    return value


def _cursor(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(_CURSOR, value, re.DOTALL) or int(value.partition("~")[0]) >= 2**63:
            raise ValueError("not a cursor")
        number, _, key = value.partition("~")
        return int(number), key
    return value


def _node_id(value: str) -> str:
    if not is_valid_id(value):
        raise ValueError("no id")
    return value


DIGITS = BeforeValidator(_whole)
"""Of whole numbers; they also need bounds: ``Annotated[int, Field(ge=0, le=9), DIGITS]``."""
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-01T00:00:00Z"]}),
]
"""A time with a zone; read as UTC."""
BodyTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""The same in a body."""
Cursor = Annotated[
    tuple[int, str],
    BeforeValidator(_cursor),
    WithJsonSchema(
        {"type": "string", "pattern": _CURSOR, "examples": ["1778835600000~lease_01JDC2W0V8H3QK6M4T9ZRX5B7E"]}
    ),
]
"""Where a list goes on: a number and an id, as ``next_after`` gave them."""
Flag = Annotated[bool, BeforeValidator(_flag)]
NodeId = Annotated[str, AfterValidator(_node_id), Field(min_length=1, max_length=256, examples=["legal"])]
"""The id of a node of the tree, a session included."""
NodeLevel = Literal[
    Level.ORGANISATION, Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE, Level.SESSION
]  # fmt: skip
"""A level that has nodes."""
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many at most."), DIGITS]
AfterNumber = Annotated[
    int, Field(ge=0, le=2**53, description="Goes on after this one: `next_after` of the page before."), DIGITS
]


class Query(BaseModel):
    """What every request about one organisation may say; a parameter that is not known is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    organisation: Annotated[
        NodeId | None,
        Field(description="Which organisation is asked about; default: the key's own, else the collector's default."),
    ] = None


class Page(Query):
    """One page of a list whose place is a number."""

    after: AfterNumber = 0
    limit: Limit = 100


def read_query(request: web.Request, shape: type[Asked]) -> Asked:
    """Read the query of a request.

    Raises:
        BadRequest: naming each parameter that is wrong, and what it should be; also in the member ``errors``.
    """
    if not request.rel_url.raw_query_string and (nothing := _of_nothing(shape)) is not None:
        return cast("Asked", nothing)
    given = request.query
    problems = {name: "may be given once only" for name in given if len(given.getall(name)) > 1}
    try:
        asked = shape.model_validate(dict(request.query))
    except ValidationError as error:
        schema = shape.model_json_schema()
        parameters: Mapping[str, Mapping[str, Any]] = schema["properties"]
        for problem in error.errors(include_url=False, include_context=False):
            name = str(problem["loc"][0]) if problem["loc"] else "from"
            if problem["type"] == "extra_forbidden":
                problems[name] = f"does not exist here; there are {', '.join(parameters)}"
            elif problem["loc"]:
                problems.setdefault(name, _expected(parameters[name], schema, request.query.get(name)))
            else:  # about several of them
                problems[name] = problem["msg"].removeprefix("Value error, ")
    if problems:
        raise wrong_parameter(problems)
    return asked


@functools.cache
def _of_nothing(shape: type[Query]) -> Query | None:
    """Read the query that says nothing, which most requests bring; None if it may not be missing."""
    try:
        return shape.model_validate({})
    except ValidationError:
        return None


def wrong_parameter(problems: Mapping[str, str]) -> BadRequest:
    """Make the refusal of parameters, each with what it must be: ``must be …``."""
    said = [f"The query parameter {name[:100]} {problem}." for name, problem in problems.items()]
    errors = [{"parameter": name[:100], "detail": problem} for name, problem in problems.items()]
    return BadRequest(" ".join(said), errors)


def organisation_of(asked: str | None, principal: Principal, default: str) -> str:
    """Tell which organisation a request is about: the key's, else the one that it names, else the collector's default.

    Raises:
        Forbidden: if the key is bound to another organisation.
    """
    bound = principal.bound_to.organisation
    if bound is not None and asked not in (None, bound):
        raise Forbidden("The API key is bound to another organisation.")
    return bound or asked or default


def _expected(parameter: Mapping[str, Any], schema: Mapping[str, Any], given: str | None) -> str:
    """Say what a parameter must be, from its JSON Schema."""
    options = [option for option in parameter.get("anyOf", [parameter]) if option.get("type") != "null"]
    must = {**parameter, **options[0]}
    if "$ref" in must:
        must |= schema["$defs"][must["$ref"].rsplit("/", 1)[-1]]
    got = "" if given is None else f"; got {given[:40]!r}"
    if "const" in must or "enum" in must:
        return f"must be one of {', '.join(must.get('enum') or [must['const']])}{got}"
    if must.get("format") == "date-time":
        return f"must be a time with a zone, such as {must['examples'][0]}"
    match must["type"]:
        case "integer":
            return f"must be a whole number from {must['minimum']} to {must['maximum']}{got}"
        case "boolean":
            return f"must be true or false{got}"
        case _ if "pattern" in must:
            return f"must look like {', '.join(must.get('examples') or [must['pattern']])}{got}"
        case _:
            return f"must be {must.get('minLength', 0)} to {must.get('maxLength', 'any number of')} printable characters{got}"
