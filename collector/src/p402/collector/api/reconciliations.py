"""Invoices of providers beside the ledger, over HTTP: from a month's invoice down to a request, and back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Date, Hex32, Id, Json, Time, Usd
from p402.collector.api.problem import BadRequest, NotFound
from p402.collector.api.query import DIGITS, AfterNumber, Flag, Limit, NodeId, Query
from p402.collector.api.views import charge_view
from p402.collector.pricing import PriceBook
from p402.collector.reconciliation.compare import CardOf, Documents, read_documents, unit_prices
from p402.collector.reconciliation.lines import ExportUnreadable
from p402.collector.reconciliation.match import Place, reconcile
from p402.collector.reconciliation.report import place_of, row_of, totals_of
from p402.collector.storage.database import Database
from p402.collector.storage.reconciliations import (
    Compared,
    Reconciliation,
    charges_of_place,
    ledger_sums,
    names_of_models,
    place_of_charge,
    reconciliation_by_id,
    reconciliations_page,
    record_reconciliation,
)
from p402.decisions import RateCard
from p402.vocabulary import Attribution, Clock, IdFactory, rfc3339

__all__ = ["ReconciliationsApi"]

_LARGEST = 32 << 20  # bytes of exports in one request


class Document(BaseModel):
    """A file of a provider."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=256, examples=["costs-2026-10.json"])]
    content: Annotated[str, Field(description="The text of the file, JSON or CSV.")]


class PartOfTree(BaseModel):
    """The calls that one key of a provider pays for."""

    model_config = ConfigDict(extra="forbid")
    department: NodeId | None = None
    project: NodeId | None = None
    client: NodeId | None = None
    employee: NodeId | None = None


class ReconciliationBody(BaseModel):
    """What is to be compared."""

    model_config = ConfigDict(extra="forbid")
    documents: Annotated[
        list[Document],
        Field(min_length=1, max_length=100, description="Of one provider; usage and costs together tell the most."),
    ]
    period: Annotated[
        str | None,
        Field(description="A month; without it the days from the first line to the last.", examples=["2026-10"]),
    ] = None
    keys: Annotated[
        dict[str, PartOfTree],
        Field(
            max_length=1000,
            description="Which part of the tree each of the provider's keys, projects or workspaces pays for.",
        ),
    ] = {}


class ShownDocument(TypedDict):
    """A file that was compared; it is not kept."""

    name: str
    sha256: Hex32
    shape: str


class Totals(TypedDict):
    """The sums of all rows."""

    invoice_usd: Usd | None
    ledger_usd: Usd
    difference_usd: Usd | None
    reasons: dict[str, Usd]
    charges: int
    unpriced_charges: int
    invoice_requests: int | None


class ShownReconciliation(TypedDict):
    """A comparison, without its rows."""

    reconciliation_id: Id
    organisation: str
    provider: str
    from_day: Date
    to_day: Date
    time_zone: str
    keys: dict[str, dict[str, str]]
    documents: list[ShownDocument]
    totals: Totals
    created_at: Time
    created_by: str | None


class OneReconciliation(ShownReconciliation):
    """A comparison with its rows, those with a difference first to last by day."""

    rows: list[Json]


class Reconciliations(TypedDict):
    """Comparisons, the newest first."""

    reconciliations: list[ShownReconciliation]


class ChargesOfRow(TypedDict):
    """The charges that a row's sum is made of."""

    row: int
    charges: list[Json]
    next_after: int | None


class WhichRows(Query):
    """Which rows are asked for."""

    differing: Annotated[Flag, Field(description="Only rows whose difference is more than rounding.")] = False
    charge: Annotated[
        int | None, Field(ge=1, le=2**53, description="Only the row in which this charge (its `seq`) is."), DIGITS
    ] = None


class WhichCharges(Query):
    """Which charges are asked for."""

    row: Annotated[int, Field(ge=0, le=2**31, description="Number of the row."), DIGITS]
    after: AfterNumber = 0
    limit: Limit = 100


class Newest(Query):
    """How many are asked for."""

    limit: Limit = 100


@dataclass(frozen=True, slots=True)
class ReconciliationsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    prices: PriceBook
    clock: Clock
    new_id: IdFactory
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return routes_of(self)

    @endpoint("POST /v1/reconciliations", scope="admin", answers={201: OneReconciliation}, largest_body=_LARGEST)
    async def reconcile(self, caller: Caller, body: ReconciliationBody) -> web.Response:
        """Compare a provider's exports with the ledger, and explain each difference.

        The files are read, hashed and forgotten. Reasons are amounts that add up to the difference.
        """
        caller.principal.require_whole_organisation()
        files = [(document.name, document.content.encode("utf-8", "replace")) for document in body.documents]
        try:
            documents = await asyncio.to_thread(read_documents, files, body.period)
        except ExportUnreadable as error:
            raise BadRequest(str(error)) from error
        compared = Compared(
            organisation=caller.organisation,
            provider=documents.provider,
            begin=documents.begin,
            end=documents.end,
            time_zone=documents.time_zone,
            parts={key: Attribution(**part.model_dump()) for key, part in body.keys.items()},
        )
        made = await self.database.read(
            lambda connection: self._compare(connection, documents, compared, caller), long=True
        )
        await self.database.write(lambda connection: record_reconciliation(connection, made))
        return web.json_response({**_view(made), "rows": made.rows}, status=201)

    @endpoint("GET /v1/reconciliations", scope="spend:read", answers={200: Reconciliations})
    async def page(self, caller: Caller, query: Newest) -> web.Response:
        """List the comparisons of an organisation, the newest first."""
        caller.principal.require_whole_organisation()
        found = await self.database.read(
            lambda connection: reconciliations_page(connection, caller.organisation, query.limit)
        )
        return web.json_response({"reconciliations": [_view(item) for item in found]})

    @endpoint("GET /v1/reconciliations/{reconciliation_id}", scope="spend:read", answers={200: OneReconciliation})
    async def one(self, caller: Caller, reconciliation_id: str, query: WhichRows) -> web.Response:
        """Show a comparison: all rows, those that differ, or the one that a charge is in."""
        made = await self._made(caller, reconciliation_id)
        rows = list(made.rows)
        if query.differing:
            rows = [row for row in rows if set(row["reasons"]) - {"rounding"}]
        if query.charge is not None:
            seq = query.charge
            place = await self.database.read(lambda connection: place_of_charge(connection, made.compared, seq))
            rows = [row for row in rows if place is not None and _is_of(place_of(row), place)]
        return web.json_response({**_view(made), "rows": rows})

    @endpoint("GET /v1/reconciliations/{reconciliation_id}/charges", scope="spend:read", answers={200: ChargesOfRow})
    async def charges(self, caller: Caller, reconciliation_id: str, query: WhichCharges) -> web.Response:
        """Give the charges of a row, in the order in which they were recorded; ``next_after`` continues."""
        made = await self._made(caller, reconciliation_id)
        if query.row >= len(made.rows):
            raise NotFound(f"The comparison has rows 0 to {len(made.rows) - 1}; there is no row {query.row}.")
        place = place_of(made.rows[query.row])
        found = await self.database.read(
            lambda connection: charges_of_place(connection, made.compared, place, query.after, query.limit), long=True
        )
        return web.json_response(
            {
                "row": query.row,
                "charges": [charge_view(seq, charge) for seq, charge in found],
                "next_after": found[-1][0] if len(found) == query.limit else None,
            }
        )

    async def _made(self, caller: Caller, reconciliation_id: str) -> Reconciliation:
        caller.principal.require_whole_organisation()
        found = await self.database.read(
            lambda connection: reconciliation_by_id(connection, caller.organisation, reconciliation_id)
        )
        if found is None:
            raise NotFound(f"There is no reconciliation {reconciliation_id[:64]!r} of this organisation.")
        return found

    def _compare(
        self, connection: Connection, documents: Documents, compared: Compared, caller: Caller
    ) -> Reconciliation:
        names = names_of_models(connection, compared)
        sums = list(ledger_sums(connection, compared))
        prices = unit_prices(self._card_of(names), (name for _, name in names))
        found = reconcile(documents.exports, sums, frozenset(compared.parts), prices)
        now = self.clock.now()
        return Reconciliation(
            id=self.new_id("rcn", now),
            compared=compared,
            documents=documents.described,
            totals=totals_of(found),
            rows=[row_of(number, item) for number, item in enumerate(found)],
            created_at=now,
            created_by=caller.principal.actor or "",
        )

    def _card_of(self, names: set[tuple[str, str]]) -> CardOf:
        providers = {name: provider for provider, name in names}
        usual = next(iter(sorted({provider for provider, _ in names})), None)

        def card(model: str, day: date) -> RateCard | None:
            provider = providers.get(model, usual)
            if provider is None:
                return None
            found = self.prices.card(provider, model, datetime.combine(day, time(12), UTC), None)
            return found if isinstance(found, RateCard) else None

        return card


def _is_of(row: Place, place: Place) -> bool:
    """Tell whether a row is about a place; one without a model is about all of them."""
    return (row.day, row.part) == (place.day, place.part) and row.model in ("", place.model)


def _view(made: Reconciliation) -> dict[str, Any]:
    compared = made.compared
    return {
        "reconciliation_id": made.id,
        "organisation": compared.organisation,
        "provider": compared.provider,
        "from_day": compared.begin.isoformat(),
        "to_day": compared.end.isoformat(),
        "time_zone": compared.time_zone,
        "keys": {
            key: {level.value: value for level, value in part if value is not None}
            for key, part in compared.parts.items()
        },
        "documents": list(made.documents),
        "totals": made.totals,
        "created_at": rfc3339(made.created_at),
        "created_by": made.created_by or None,
    }
