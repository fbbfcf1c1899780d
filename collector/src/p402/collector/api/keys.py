"""API keys over HTTP: made, listed and revoked by whoever has an admin key, within the part of the tree of that key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.bodies import json_body
from p402.collector.api.budget_views import within_part
from p402.collector.api.problem import Forbidden, NotFound
from p402.collector.storage.audit import record_audit
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.keys import ApiKey, Keys
from p402.vocabulary import Attribution, Clock, Level, rfc3339

__all__ = ["KeysApi"]

_Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class _NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]
    scopes: Annotated[list[str], Field(min_length=1, max_length=20)]
    organisation: _Id | None = None
    department: _Id | None = None
    project: _Id | None = None
    client: _Id | None = None
    employee: _Id | None = None

    def bound_to(self) -> Attribution:
        return Attribution(self.organisation, self.department, self.project, self.client, self.employee)


@dataclass(frozen=True, slots=True)
class KeysApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    keys: Keys
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return [
            web.get("/v1/keys", self.list, allow_head=False),
            web.post("/v1/keys", self.create),
            web.delete("/v1/keys/{key}", self.revoke),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """List keys, the oldest first; their secrets are not known any more."""
        principal = await self.authenticator.authenticate(request, "admin")
        found = [key for key in await self.keys.list() if within_part(principal, key.bound_to)]
        return web.json_response({"keys": [_view(key) for key in found]})

    async def create(self, request: web.Request) -> web.Response:
        """Make a key; its secret is in this answer only."""
        principal = await self.authenticator.authenticate(request, "admin")
        body = await json_body(request, _NewKey)
        bound_to = body.bound_to().over(principal.bound_to)
        if not within_part(principal, bound_to):
            raise Forbidden("A key that is bound to a part of the tree makes keys for that part only.")
        key, secret = await self.keys.create(body.name, frozenset(body.scopes), bound_to, self.clock.now())
        await self._note(principal, key, "key.created")
        return web.json_response({**_view(key), "secret": secret}, status=201)

    async def revoke(self, request: web.Request) -> web.Response:
        """Make a key useless from now on; its streams end."""
        principal = await self.authenticator.authenticate(request, "admin")
        key_id = request.match_info["key"]
        known = next((key for key in await self.keys.list() if key.id == key_id), None)
        if known is None or known.revoked_at is not None or not within_part(principal, known.bound_to):
            raise NotFound(f"There is no key {key_id[:64]!r} that you may see and that is not revoked.")
        await self.keys.revoke(key_id, self.clock.now())
        await self._note(principal, known, "key.revoked")
        return web.json_response({"id": key_id, "revoked_at": rfc3339(self.clock.now())})

    async def _note(self, principal: Principal, key: ApiKey, action: str) -> None:
        organisation = key.bound_to.organisation or self.default_organisation
        detail = {name: value for name, value in _view(key).items() if name in ("name", "scopes", "bound_to")}
        await self.database.write(
            lambda connection: record_audit(
                driver(connection),
                organisation,
                actor=principal.key_id or "",
                action=action,
                subject=key.id,
                detail=detail,
                at=self.clock.now(),
            )
        )


def _view(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "bound_to": {level.value: value for level, value in key.bound_to if level is not Level.SESSION},
        "created_at": rfc3339(key.created_at),
        "revoked_at": None if key.revoked_at is None else rfc3339(key.revoked_at),
    }
