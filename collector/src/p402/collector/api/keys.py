"""API keys over HTTP: made, listed and revoked by whoever has an admin key, within the part of the tree of that key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Id, Node, Time, shape
from p402.collector.api.key_changes import KeyChanges, NewKey
from p402.collector.storage.keys import ApiKey
from p402.vocabulary import rfc3339

__all__ = ["KeysApi"]


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

    changes: KeyChanges
    authenticator: Authenticator
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/keys", scope="admin", answers={200: KeyList})
    async def list(self, caller: Caller) -> web.Response:
        """List keys, the oldest first; their secrets are not known any more."""
        found = await self.changes.seen_by(caller.principal)
        return web.json_response(KeyList(keys=[_view(key) for key in found]))

    @endpoint("POST /v1/keys", scope="admin", answers={201: FreshKey})
    async def create(self, caller: Caller, body: NewKey) -> web.Response:
        """Make a key; its secret is in this answer only."""
        key, secret = await self.changes.make(caller.principal, body)
        return web.json_response(FreshKey(**_view(key), secret=secret), status=201)

    @endpoint("DELETE /v1/keys/{key}", scope="admin", answers={200: RevokedKey})
    async def revoke(self, caller: Caller, key: str) -> web.Response:
        """Make a key useless from now on; its streams end."""
        revoked = await self.changes.revoke(caller.principal, key)
        return web.json_response(RevokedKey(id=key, revoked_at=rfc3339(revoked.revoked_at or revoked.created_at)))


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
