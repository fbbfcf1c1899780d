"""API keys over HTTP: made, listed and revoked by whoever has an admin key, within the part of the tree of that key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.budget_views import within_part
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Id, Node, Time, shape
from p402.collector.api.problem import Forbidden, NotFound
from p402.collector.storage.audit import record_audit
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.keys import ApiKey, Keys
from p402.vocabulary import Attribution, Clock, rfc3339

__all__ = ["KeysApi"]

_Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class NewKey(BaseModel):
    """A key as it shall be."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$"),
        Field(examples=["the auditor's"]),
    ]
    scopes: Annotated[list[str], Field(min_length=1, max_length=20, examples=[["receipts:read"]])]
    organisation: _Id | None = None
    department: _Id | None = None
    project: _Id | None = None
    client: _Id | None = None
    employee: _Id | None = None

    def bound_to(self) -> Attribution:
        """Give the part of the tree that it is bound to."""
        return Attribution(self.organisation, self.department, self.project, self.client, self.employee)


@shape
class Binding(TypedDict):
    """The part of the tree that a key is bound to; null where it is not."""

    organisation: Node | None
    department: Node | None
    project: Node | None
    client: Node | None
    employee: Node | None


@shape
class KeyView(TypedDict):
    """What is known about a key."""

    id: Id
    name: str
    scopes: list[str]
    bound_to: Binding
    created_at: Time
    revoked_at: Time | None


class FreshKey(KeyView):
    """A key with its secret, which is never shown again."""

    secret: Annotated[str, Field(examples=["p402_…"])]


@shape
class KeyList(TypedDict):
    """Keys, the oldest first."""

    keys: list[KeyView]


@shape
class RevokedKey(TypedDict):
    """A key that is useless from now on."""

    id: Id
    revoked_at: Time


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
        return routes_of(self)

    @endpoint("GET /v1/keys", scope="admin", answers={200: KeyList})
    async def list(self, caller: Caller) -> web.Response:
        """List keys, the oldest first; their secrets are not known any more."""
        found = [key for key in await self.keys.list() if within_part(caller.principal, key.bound_to)]
        return web.json_response(KeyList(keys=[_view(key) for key in found]))

    @endpoint("POST /v1/keys", scope="admin", answers={201: FreshKey})
    async def create(self, caller: Caller, body: NewKey) -> web.Response:
        """Make a key; its secret is in this answer only."""
        principal = caller.principal
        bound_to = body.bound_to().over(principal.bound_to)
        if not within_part(principal, bound_to):
            raise Forbidden("A key that is bound to a part of the tree makes keys for that part only.")
        key, secret = await self.keys.create(body.name, frozenset(body.scopes), bound_to, self.clock.now())
        await self._note(principal, key, "key.created")
        return web.json_response(FreshKey(**_view(key), secret=secret), status=201)

    @endpoint("DELETE /v1/keys/{key}", scope="admin", answers={200: RevokedKey})
    async def revoke(self, caller: Caller, key: str) -> web.Response:
        """Make a key useless from now on; its streams end."""
        principal = caller.principal
        known = next((known for known in await self.keys.list() if known.id == key), None)
        if known is None or known.revoked_at is not None or not within_part(principal, known.bound_to):
            raise NotFound(f"There is no key {key[:64]!r} that you may see and that is not revoked.")
        now = self.clock.now()
        await self.keys.revoke(key, now)
        await self._note(principal, known, "key.revoked")
        return web.json_response(RevokedKey(id=key, revoked_at=rfc3339(now)))

    async def _note(self, principal: Principal, key: ApiKey, action: str) -> None:
        organisation = key.bound_to.organisation or self.default_organisation
        detail = {name: value for name, value in _view(key).items() if name in ("name", "scopes", "bound_to")}
        await self.database.write(
            lambda connection: record_audit(
                driver(connection),
                organisation,
                actor=principal.actor or "",
                action=action,
                subject=key.id,
                detail=detail,
                at=self.clock.now(),
            )
        )


def _view(key: ApiKey) -> KeyView:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "bound_to": {
            "organisation": key.bound_to.organisation,
            "department": key.bound_to.department,
            "project": key.bound_to.project,
            "client": key.bound_to.client,
            "employee": key.bound_to.employee,
        },
        "created_at": rfc3339(key.created_at),
        "revoked_at": None if key.revoked_at is None else rfc3339(key.revoked_at),
    }
