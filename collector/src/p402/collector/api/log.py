"""The log of an organisation over HTTP: its newest checkpoint, the key that signs it, and where it is anchored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.fields import Node, shape
from p402.collector.api.problem import NotFound
from p402.collector.api.query import Limit, Query
from p402.collector.api.views import SettlementList, settlement_view
from p402.collector.storage.database import Database
from p402.collector.storage.log import Signers, latest_checkpoint
from p402.collector.storage.settlements import settlements_page
from p402.receipts.settlement import TempoNetwork

__all__ = ["LogApi"]


class SettlementsQuery(Query):
    """Which settlements."""

    limit: Limit = 100


@shape
class VerifierKey(TypedDict):
    """A key."""

    vkey: Annotated[str, Field(examples=["p402.local/org/acme+1a2b3c4d+AZ…"])]
    """As C2SP signed-note writes it."""


@shape
class ReceiptKeys(TypedDict):
    """The keys that an organisation's checkpoints are signed with."""

    organisation: Node
    keys: list[VerifierKey]


@dataclass(frozen=True, slots=True)
class LogApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    signers: Signers
    network: TempoNetwork | None
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint(
        "GET /v1/checkpoints/latest",
        scope="receipts:read",
        answers={200: Media("text/plain", about="A C2SP tlog-checkpoint, signed.")},
        problems=(404,),
        sends=("Cache-Control",),
    )
    async def checkpoint(self, caller: Caller) -> web.Response:
        """Give the newest signed checkpoint of an organisation's log."""
        organisation = caller.organisation
        note = await self.database.read(lambda connection: latest_checkpoint(connection, organisation))
        if note is None:
            raise NotFound(f"The log of {organisation!r} has no entries yet, so it has no checkpoint.")
        return web.Response(text=note, content_type="text/plain", headers={"Cache-Control": "no-cache"})

    @endpoint("GET /.well-known/receipt-keys", scope="receipts:read", answers={200: ReceiptKeys})
    async def receipt_keys(self, caller: Caller) -> web.Response:
        """Publish the key that an organisation's checkpoints are signed with."""
        key = self.signers.signer(caller.organisation).verifier_key
        known: ReceiptKeys = {"organisation": caller.organisation, "keys": [{"vkey": key}]}
        return web.json_response(known)

    @endpoint("GET /v1/settlements", scope="receipts:read", answers={200: SettlementList})
    async def settlements(self, caller: Caller, query: SettlementsQuery) -> web.Response:
        """List the settlements of an organisation, the newest first."""
        organisation = caller.organisation
        found = await self.database.read(lambda connection: settlements_page(connection, organisation, query.limit))
        listed: SettlementList = {"settlements": [settlement_view(item, self.network) for item in found]}
        return web.json_response(listed)
