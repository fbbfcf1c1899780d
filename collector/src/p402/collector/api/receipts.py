"""Receipts over HTTP: as a list, each with what came later, its sealed bytes, its proof, and all of it as a bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator, reader_of
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.problem import NotFound
from p402.collector.api.query import DIGITS, Flag, Limit, Moment, NodeId, Query, wrong_parameter
from p402.collector.api.views import ReceiptPage, ReceiptView, receipt_view
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import FIELDS, Beside, Disclosures
from p402.collector.storage.log import checkpoint_at
from p402.collector.storage.receipt_sheets import receipt_bundle
from p402.collector.storage.receipts import (
    ReceiptFilter,
    StoredReceipt,
    anchor_tie,
    receipt_by_id,
    receipt_proof,
    receipts_page,
)
from p402.receipts import BundledConsistency
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Attribution

__all__ = ["ReceiptsApi"]

_IMMUTABLE = "private, max-age=31536000, immutable"
_REVALIDATED = "private, no-cache"


class ReceiptsQuery(Query):
    """Which receipts."""

    after: Annotated[
        int | None,
        Field(ge=0, le=2**53, description="Goes on after this place in the log: `next_after` of the page before."),
        DIGITS,
    ] = None
    limit: Limit = 100
    department: NodeId | None = None
    project: NodeId | None = None
    client: NodeId | None = None
    employee: Annotated[NodeId | None, Field(description="Needs the scope `receipts:personal`.")] = None
    model: Annotated[NodeId | None, Field(description="One of its `models`.", examples=["claude-opus-4-5"])] = None
    begin: Annotated[Moment | None, Field(alias="from", description="Issued then or later.")] = None
    end: Annotated[Moment | None, Field(alias="to", description="Issued before.")] = None
    anchored: Annotated[Flag | None, Field(description="Whether it is anchored on the chain.")] = None
    reviewed: Annotated[
        Flag | None, Field(description="Whether a review of it was requested, decided or commented.")
    ] = None
    type: Annotated[Literal["session-receipt", "correction"] | None, Field(description="Of the entry in the log.")] = (
        None
    )

    def asked(self) -> ReceiptFilter:
        """Give what is asked for."""
        return ReceiptFilter(
            of=Attribution(None, self.department, self.project, self.client, self.employee),
            model=self.model,
            begin=self.begin,
            end=self.end,
            anchored=self.anchored,
            reviewed=self.reviewed,
            kind=self.type,
        )


class BundleQuery(Query):
    """Which state of the log the proof is for."""

    checkpoint: Annotated[
        int | None,
        Field(
            ge=1,
            le=2**53,
            description="Size of the signed checkpoint that the proof leads to, such as one that you pinned; default: of the "
            "anchored one, else of the newest.",
        ),
        DIGITS,
    ] = None


@dataclass(frozen=True, slots=True)
class ReceiptsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    network: TempoNetwork | None
    disclosures: Disclosures
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint(
        "GET /v1/receipts",
        scope="receipts:read",
        answers={200: ReceiptPage, 304: None},
        sends=("ETag", "Cache-Control"),
    )
    async def receipts(self, request: web.Request, caller: Caller, query: ReceiptsQuery) -> web.Response:
        """List receipts in the order of the log; ``next_after`` continues.

        Nothing is missed that way: later entries have higher numbers, and the log is only added to.
        """
        principal, organisation = caller.principal, caller.organisation
        if query.employee is not None:
            principal.require("receipts:personal")
        after, limit, asked = -1 if query.after is None else query.after, query.limit, query.asked()
        found = await self.database.read(
            lambda connection: receipts_page(connection, organisation, principal.bound_to, after, limit, asked)
        )
        beside = await self._beside(caller, found)
        page: ReceiptPage = {
            "receipts": [receipt_view(receipt, self.network, beside) for receipt in found],
            "next_after": found[-1].seq if len(found) == limit else None,
        }
        answer = _cached(request, json.dumps(page).encode(), _REVALIDATED)
        if answer.body:
            await self.disclosures.note_receipts(reader_of(principal, "GET /v1/receipts"), found, beside)
        return answer

    @endpoint("GET /v1/receipts/{receipt_id}.json", scope="receipts:read", answers={200: dict[str, Any]})
    async def bundle(self, caller: Caller, receipt_id: str, query: BundleQuery) -> web.Response:
        """Give everything that ``p402-verify`` needs, in one file.

        With ``checkpoint`` it can be checked against one that was pinned earlier, if the receipt was in the log by then.
        """
        receipt = await self._receipt(caller, receipt_id)
        proof, ties = await self.database.read(lambda connection: _proved(connection, receipt, query.checkpoint))
        shown: dict[int, tuple[str, ...]] = {}
        if caller.principal.may("receipts:personal"):
            reader = reader_of(caller.principal, "GET /v1/receipts/{receipt_id}.json")
            shown = await self.disclosures.of(reader, receipt.organisation, {receipt.seq: receipt.receipt_id})
        bundle = receipt_bundle(receipt, proof, shown.get(receipt.seq, ()), ties)
        return web.Response(body=bundle, content_type="application/json", charset="utf-8")

    @endpoint(
        "GET /v1/receipts/{receipt_id}",
        scope="receipts:read",
        answers={200: ReceiptView, 304: None},
        sends=("ETag", "Cache-Control"),
    )
    async def receipt(self, request: web.Request, caller: Caller, receipt_id: str) -> web.Response:
        """Show one receipt, composed of its sealed body and what came later."""
        receipt = await self._receipt(caller, receipt_id)
        beside = await self._beside(caller, [receipt])
        view = receipt_view(receipt, self.network, beside)
        answer = _cached(request, json.dumps(view).encode(), _REVALIDATED)
        if answer.body:  # who has it already learns nothing
            reader = reader_of(caller.principal, "GET /v1/receipts/{receipt_id}")
            await self.disclosures.note_receipts(reader, [receipt], beside)
        return answer

    @endpoint(
        "GET /v1/receipts/{receipt_id}/body",
        scope="receipts:read",
        answers={200: dict[str, Any], 304: None},
        sends=("ETag", "Cache-Control"),
    )
    async def body(self, request: web.Request, caller: Caller, receipt_id: str) -> web.Response:
        """Give the exact bytes that the log's leaf hash is computed from."""
        return _cached(request, (await self._receipt(caller, receipt_id)).body, _IMMUTABLE)

    @endpoint(
        "GET /v1/receipts/{receipt_id}/proof",
        scope="receipts:read",
        answers={200: Media("text/plain", about="A C2SP tlog-proof: the inclusion proof with its checkpoint.")},
    )
    async def proof(self, caller: Caller, receipt_id: str) -> web.Response:
        """Give the proof that the receipt is in the log, as a C2SP tlog-proof."""
        receipt = await self._receipt(caller, receipt_id)
        text = await self.database.read(lambda connection: receipt_proof(connection, receipt))
        return web.Response(text=text, content_type="text/plain")

    async def _receipt(self, caller: Caller, receipt_id: str) -> StoredReceipt:
        bound_to = caller.principal.bound_to
        receipt = await self.database.read(lambda connection: receipt_by_id(connection, receipt_id, bound_to))
        if receipt is None:
            raise NotFound(f"There is no receipt {receipt_id[:64]!r}, or this API key may not see it.")
        return receipt

    async def _beside(self, caller: Caller, receipts: Sequence[StoredReceipt]) -> Beside:
        fields = FIELDS if caller.principal.may("receipts:personal") else frozenset[str]()
        return await self.database.read(lambda connection: self.disclosures.beside(connection, receipts, fields=fields))


def _proved(
    connection: Connection, receipt: StoredReceipt, size: int | None
) -> tuple[str, tuple[BundledConsistency, ...]]:
    """Give the proof of a receipt, and what ties its checkpoint to the anchored one."""
    if size is None:
        return receipt_proof(connection, receipt), ()
    if receipt.seq >= size:
        raise wrong_parameter(
            {
                "checkpoint": f"the receipt is entry {receipt.seq} of the log, and so not among its first {size}: ask without "
                f"checkpoint, and for /v1/consistency?from={size}, which ties yours to what you get"
            }
        )
    if checkpoint_at(connection, receipt.organisation, size) is None:
        raise NotFound(
            f"No checkpoint was signed when the log had {size} entries: /v1/checkpoints lists those that were."
        )
    return receipt_proof(connection, receipt, size), anchor_tie(connection, receipt, size)


def _cached(request: web.Request, body: bytes, cache_control: str) -> web.Response:
    etag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": cache_control}
    if any(known.value in (etag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)
