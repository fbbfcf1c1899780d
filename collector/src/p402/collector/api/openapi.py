"""The OpenAPI 3.1 document of the API, written from the descriptions of its endpoints (pure), and served as a file.

Source: OpenAPI Specification 3.1.1; schemas are JSON Schema 2020-12. Examples are put together from those of the members.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Endpoint, Media, ProblemWith, endpoint, routes_of
from p402.collector.api.problem import Problem
from p402.collector.api.rate_limits import EXEMPT

__all__ = ["OpenApi", "document"]

_COMPONENT = "#/components/schemas/{model}"
_ABOUT = (
    "Spend, budgets and receipts of LLM calls. Every request is about one organisation: the key's, else `organisation` of the "
    "query, else the collector's default. A key that is bound to a part of the tree sees that part only. Lists are read in "
    "pages: `next_after` of one page is `after` of the next, null at the end. Times are RFC 3339 in UTC, amounts of money "
    "decimal strings in US dollars. Errors are problem documents (RFC 9457)."
)
_HEADERS = {
    "ETag": "Of this content; send it in If-None-Match to be told that nothing has changed.",
    "Cache-Control": "How long the answer may be kept.",
    "Retry-After": "Seconds to wait before trying again.",
    "X-P402-Budget": "The budget that has too little left.",
    "RateLimit": "How many requests are left to the key (`r`), and in how many seconds all are again (`t`).",
    "RateLimit-Policy": "How many requests a key may make (`q`) in how many seconds (`w`).",
    "Content-Disposition": "The name of the file.",
    "Location": "Where it is.",
}
_LIMITED = ("RateLimit-Policy", "RateLimit")
_PROBLEMS = {
    400: "Something in the request is not as it must be; `errors` says what.",
    401: "No valid API key.",
    402: "A budget or a policy forbids the call; the problem has the members of the decision.",
    403: "The API key does not allow this.",
    404: "There is no such thing, or the API key may not know of it.",
    409: "It does not go with what was done before.",
    412: "What is to be changed is no longer what the request says it is.",
    413: "The body is too large.",
    415: "The body is in a format that is not read here.",
    422: "The Idempotency-Key was sent with another question before.",
    429: "The API key asks more often than it may.",
    503: "Storage is away; try again.",
}


@dataclass(frozen=True, slots=True)
class OpenApi:
    """Serves the document; needs no key."""

    authenticator: Authenticator
    default_organisation: str
    text: bytes = field(default_factory=lambda: files("p402.collector.api").joinpath("openapi.json").read_bytes())

    def routes(self) -> list[web.RouteDef]:
        """Give the route; the README's table is checked against it."""
        return routes_of(self)

    @endpoint("GET /openapi.json", answers={200: dict[str, Any]})
    async def openapi(self) -> web.Response:
        """Describe this API in OpenAPI 3.1."""
        return web.Response(body=self.text, content_type="application/json", headers={"Cache-Control": "no-cache"})


class _Schemas(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the signature is pydantic's
        """Leave out titles that only repeat the name."""
        return False


def document(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """Write the document.

    Args:
        endpoints: all that are served.
        version: of the collector.
    """
    wanted: dict[str, Any] = {"Problem": Problem}
    for described in endpoints:
        key = f"{described.method} {described.path}"
        wanted |= {
            f"{key} {status}": _shape(kind) for status, kind in described.answers.items() if _shape(kind) is not None
        }
        wanted |= {f"{key} query": described.query} if described.query else {}
        wanted |= {f"{key} body": described.body} if described.body else {}
    inputs = [(key, "validation", TypeAdapter(kind)) for key, kind in wanted.items()]
    found, definitions = TypeAdapter.json_schemas(
        inputs,  # type: ignore[arg-type] # "validation" is a literal
        ref_template=_COMPONENT,
        schema_generator=_Schemas,
    )
    components: dict[str, Any] = definitions.get("$defs", {})
    schemas = _Written({key: schema for (key, _), schema in found.items()}, components)
    paths: dict[str, dict[str, Any]] = {}
    for described in endpoints:
        paths.setdefault(described.path, {})[described.method.lower()] = _operation(described, schemas)
    for name in schemas.query_models:
        components.pop(name, None)
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "P402 Meter", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": {name: {"description": about, "schema": {"type": "string"}} for name, about in _HEADERS.items()},
            "responses": {
                **{str(status): _problem(status, schemas) for status in _PROBLEMS},
                **{f"{status}Page": _problem(status, schemas, page=True) for status in _PROBLEMS},
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: `p402_…`, with the scopes named. The cookie of somebody who signed in at "
                    "the page does as well; what changes something must then come from our own pages.",
                }
            },
        },
    }
    return _plain(whole)  # type: ignore[no-any-return] # the same shape


class _Written:
    """The schemas by what they are of."""

    def __init__(self, by_key: Mapping[str, Any], components: Mapping[str, Any]) -> None:
        self._by_key = by_key
        self._components = components
        self.query_models: set[str] = set()

    def of(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self._by_key[key]
        return found

    def resolved(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return {
                **self._components[schema["$ref"].rsplit("/", 1)[-1]],
                **{k: v for k, v in schema.items() if k != "$ref"},
            }
        return dict(schema)

    def query(self, key: str) -> dict[str, Any]:
        schema = self._by_key[key]
        if "$ref" in schema:
            self.query_models.add(schema["$ref"].rsplit("/", 1)[-1])
        return self.resolved(schema)

    def example(self, schema: Mapping[str, Any], *, whole: bool = True) -> Any:
        """Put an example together; ``whole`` has members too that need not be there."""
        full = self.resolved(schema)
        for name in ("example", "const", "default"):
            if full.get(name) is not None:
                return full[name]
        if full.get("examples") or full.get("enum"):
            return (full.get("examples") or full["enum"])[0]
        for several in ("anyOf", "oneOf", "allOf"):
            if several in full:
                options = [option for option in full[several] if option.get("type") != "null"]
                return self.example(options[0], whole=whole)
        return self._example_of_type(full, whole=whole)

    def _example_of_type(self, full: Mapping[str, Any], *, whole: bool) -> Any:
        match full.get("type"):
            case "object":
                required = full.get("required", ())
                return {
                    name: self.example(member, whole=whole)
                    for name, member in full.get("properties", {}).items()
                    if whole or name in required or "examples" in member
                }
            case "array":
                return [self.example(full["items"], whole=whole)] if "items" in full else []
            case "integer" | "number":
                return full.get("minimum", 1)
            case "boolean":
                return False
            case "null":
                return None
            case _:
                return "2026-12-01T00:00:00Z" if full.get("format") == "date-time" else "text"


def _operation(described: Endpoint, schemas: _Written) -> dict[str, Any]:
    key = f"{described.method} {described.path}"
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{described.method.lower()}{described.path}").strip("_"),
        "tags": [next((part for part in described.path.split("/") if part and part != "v1"), "pages").split(".")[0]],
        "summary": described.summary,
    }
    if described.about:
        operation["description"] = described.about
    operation["security"] = [] if described.scope is None else [{"key": described.scope.split()}]
    parameters = [_path_parameter(name) for name in described.path_parameters]
    if described.query is not None:
        parameters += _query_parameters(schemas.query(f"{key} query"))
    parameters += [
        {
            "name": header.name,
            "in": "header",
            "description": header.about,
            "schema": {"type": "string"},
            "example": header.example,
        }
        for header in described.headers
    ]
    if parameters:
        operation["parameters"] = parameters
    if described.body is not None:
        schema = schemas.of(f"{key} body")
        content: dict[str, Any] = {
            "application/json": {"schema": schema, "example": schemas.example(schema, whole=False)}
        }
        operation["requestBody"] = {"required": True, "content": content}
    elif described.takes:
        content = {kind: {"schema": {"description": about}} for kind, about in described.takes.items()}
        operation["requestBody"] = {"required": True, "content": content}
    page = "Page" if _is_for_people(described) else ""
    operation["responses"] = {
        **{str(status): _answer(described, status, key, schemas) for status in described.answers},
        **{str(status): {"$ref": f"#/components/responses/{status}{page}"} for status in _refusals(described)},
    }
    for status in set(described.answers) & set(_PROBLEMS) if page else ():
        told = _problem(status, schemas)["content"]
        operation["responses"][str(status)]["content"] |= told  # to programs, and where the page cannot tell
    if described.scope is not None and _is_page(described):
        operation["responses"]["303"] = {"description": "Whoever looks at pages and is nobody yet is sent to sign in."}
    return operation


def _is_for_people(described: Endpoint) -> bool:
    """Tell whether an endpoint is a page or a form of one: its problems are pages too, for those who ask for such."""
    kinds = [
        kind for answer in described.answers.values() for kind in (answer if isinstance(answer, tuple) else (answer,))
    ]
    return any(isinstance(kind, Media) and kind.media_type == "text/html" for kind in kinds)


def _is_page(described: Endpoint) -> bool:
    """Tell whether an endpoint is a page for people; its refusals are pages too, for those who ask for such."""
    kinds = described.answers.get(200)
    several = kinds if isinstance(kinds, tuple) else (kinds,)
    return any(isinstance(kind, Media) and kind.media_type == "text/html" for kind in several)


def _refusals(described: Endpoint) -> list[int]:
    """Tell which problems an endpoint may answer."""
    return sorted((_usual_refusals(described) | set(described.problems)) - set(described.answers))


def _usual_refusals(described: Endpoint) -> set[int]:
    """Tell which problems any endpoint of this kind may answer."""
    usual: set[int] = set()
    if described.query is not None or described.body is not None:
        usual.add(400)
    if described.scope is not None:
        usual |= {401, 403, 503}
        usual |= set() if _exempt(described) else {429}
    if described.path_parameters and described.scope is not None:
        usual |= {400, 404}
    return usual


def _answer(described: Endpoint, status: int, key: str, schemas: _Written) -> dict[str, Any]:
    kind = described.answers[status]
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    kinds = kind if isinstance(kind, tuple) else () if kind is None else (kind,)
    content: dict[str, Any] = {}
    for media in kinds:
        if isinstance(media, Media):
            schema = {"schema": {"type": "string"} if media.media_type.startswith("text/") else {}}
            content[media.media_type] = schema | ({"example": media.example} if media.example else {})
            answer["description"] = media.about or answer["description"]
        else:
            schema = schemas.of(f"{key} {status}")
            media_type = "application/problem+json" if isinstance(media, ProblemWith) else "application/json"
            content[media_type] = {"schema": schema, "example": schemas.example(schema)}
    if status in _usual_refusals(described) and not described.takes:
        content.setdefault("application/problem+json", {"schema": schemas.of("Problem")})
    if content:
        answer["content"] = content
    sends = described.sends if described.scope is None or _exempt(described) else (*described.sends, *_LIMITED)
    if sends:
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in sends}
    return answer


def _shape(kind: Any) -> Any:
    """Give the type of an answer's JSON; None if it has none."""
    if isinstance(kind, ProblemWith):
        return kind.shape
    return None if isinstance(kind, Media | tuple) else kind


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    parameters = []
    for name, member in schema["properties"].items():
        shape = {
            key: value
            for key, value in member.items()
            if not (key == "description" or (key, value) == ("default", None))
        }
        options = [option for option in shape.pop("anyOf", ()) if option.get("type") != "null"]
        parameter = {"name": name, "in": "query", "schema": shape | (options[0] if options else {})}
        if name in schema.get("required", ()):
            parameter["required"] = True
        if "description" in member:
            parameter["description"] = member["description"]
        parameters.append(parameter)
    return parameters


def _problem(status: int, schemas: _Written, *, page: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schemas.of("Problem")}
    if status == 400:  # noqa: PLR2004
        content["example"] = schemas.example(content["schema"])
    answer: dict[str, Any] = {"description": _PROBLEMS[status], "content": {"application/problem+json": content}}
    if page:
        answer["content"]["text/html"] = {"schema": {"type": "string"}}
    sends = {429: ("Retry-After", *_LIMITED), 503: ("Retry-After",)}.get(status)
    if sends:
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in sends}
    return answer


def _exempt(described: Endpoint) -> bool:
    return not EXEMPT.isdisjoint((described.scope or "").split())


def _plain(value: Any) -> Any:
    """Write descriptions in Markdown, on one line."""
    if isinstance(value, dict):
        return {
            name: _line(item) if name in ("description", "summary") and isinstance(item, str) else _plain(item)
            for name, item in value.items()
        }
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _line(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].replace("``", "`").split())
