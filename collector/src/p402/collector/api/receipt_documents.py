"""Receipts over HTTP as documents for people: PDF/A-3b with the bundle inside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field

from p402.collector.api.auth import Authenticator, reader_of
from p402.collector.api.endpoint import Caller, Media, endpoint, routes_of
from p402.collector.api.problem import NotFound
from p402.collector.api.query import Flag, Query
from p402.collector.api.typesetting import Typesetter
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import FIELDS, Disclosures
from p402.collector.storage.receipt_documents import receipt_file
from p402.collector.storage.receipt_sheets import sheet_of
from p402.exporters.documents.pdf import SOFTWARE, render_receipt
from p402.receipts.settlement import TempoNetwork

__all__ = ["ReceiptDocumentsApi"]


class DocumentQuery(Query):
    """What the document has besides the receipt."""

    certification: Annotated[
        Flag, Field(description="Whether to add a form for a certification under US FRE 902(13) and (14).")
    ] = False


@dataclass(frozen=True, slots=True)
class ReceiptDocumentsApi:
    """What the handler needs. Its route comes before that of any receipt: ``.pdf`` could be the end of an id."""

    database: Database
    authenticator: Authenticator
    network: TempoNetwork | None
    disclosures: Disclosures
    typesetter: Typesetter
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint(
        "GET /v1/receipts/{receipt_id}.pdf",
        scope="receipts:read",
        answers={
            200: Media("application/pdf", about="PDF/A-3b; the body and the bundle are attached to it."),
            304: None,
        },
        sends=("ETag", "Cache-Control", "Content-Disposition"),
    )
    async def document(
        self, request: web.Request, caller: Caller, receipt_id: str, query: DocumentQuery
    ) -> web.Response:
        """Give a receipt as a document, with all that belongs to it.

        Personal fields are in it if the key has the scope ``receipts:personal``; else they are marked as withheld.
        """
        principal = caller.principal
        fields = FIELDS if principal.may("receipts:personal") else frozenset[str]()
        found = await self.database.read(
            lambda connection: receipt_file(connection, self.disclosures.vault, receipt_id, principal.bound_to, fields)
        )
        if found is None:
            raise NotFound(f"There is no receipt {receipt_id[:64]!r}, or this API key may not see it.")
        receipt = sheet_of(found, self.network, certified=query.certification)
        etag = hashlib.sha256(f"{SOFTWARE} {receipt!r}".encode()).hexdigest()[:32]
        headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
        if any(known.value in (etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)  # who has it already learns nothing
        made = await self.typesetter.set(lambda: render_receipt(receipt))
        reader = reader_of(principal, "GET /v1/receipts/{receipt_id}.pdf")
        await self.disclosures.note_receipts(reader, [found.receipt], found.beside)
        headers["Content-Disposition"] = 'attachment; filename="receipt.pdf"'
        return web.Response(body=made, content_type="application/pdf", headers=headers)
