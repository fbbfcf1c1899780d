"""Erasing a person over HTTP (GDPR Art. 17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator, reader_of
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Time, shape
from p402.collector.api.holds import PersonId
from p402.collector.api.problem import Conflict, NotFound
from p402.collector.api.query import Cursor, Limit, Query
from p402.collector.privacy.holds import Held
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import Disclosures
from p402.collector.storage.erasure_rows import ErasureState, StoredErasure, erasure_by_id, erasures_page
from p402.collector.storage.erasure_runs import ErasureRuns
from p402.vocabulary import rfc3339

__all__ = ["ErasuresApi"]


class ErasedPerson(BaseModel):
    """Who is to be erased."""

    model_config = ConfigDict(extra="forbid")

    employee: PersonId


class NewErasure(BaseModel):
    """A person to be erased, why, and who says so."""

    model_config = ConfigDict(extra="forbid")

    subject: ErasedPerson
    legal_basis: Annotated[PersonId, Field(examples=["GDPR Art. 17(1)(b)"])]
    """It stands in the log for ever, so it should name no person."""
    by: PersonId
    """Committed to in the log, and kept in the vault."""


class ErasuresQuery(Query):
    """Which erasures."""

    after: Annotated[Cursor | None, Field(description="Goes on after this one: `next_after` of the page before.")] = (
        None
    )
    limit: Limit = 100


@shape
class ErasureView(TypedDict):
    """An erasure. It does not say whose."""

    erasure_id: Annotated[str, Field(examples=["era_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]
    state: ErasureState
    """`held`: a legal hold keeps a part, which is erased when it is released."""
    legal_basis: str
    pseudonym: Annotated[str, Field(examples=["erased-5b8aa5a2d2c872e8321c"])]
    """Stands in the place of the person's id from now on."""
    requested_at: Time
    by: str | None
    """Null unless the key has the scope `receipts:personal`."""
    erased: Count
    """Disclosures that were deleted."""
    held_back: Count
    """Disclosures that a hold keeps."""
    matters: list[str]
    """Of those holds."""
    seq: Count | None
    """Place of its first entry in the log."""
    scrubbed_at: Time | None
    """When the database's freed space was overwritten; null while that is to be done."""


@shape
class ErasurePage(TypedDict):
    """Erasures, the newest first."""

    erasures: list[ErasureView]
    next_after: Annotated[str | None, Field(examples=["1778835600000~era_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]


@dataclass(frozen=True, slots=True)
class ErasuresApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    runs: ErasureRuns
    disclosures: Disclosures
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("POST /v1/erasures", scope="holds", answers={201: ErasureView}, problems=(409,))
    async def erase(self, caller: Caller, body: NewErasure) -> web.Response:
        """Erase a person: delete what the vault has of them, and put pseudonyms in the place of their names.

        Every proof still holds afterwards. What a legal hold covers stays, and is erased when it is released; if that is all
        that there is, the answer is 409 and names the matter. Needs a key of the whole organisation.
        """
        principal = caller.principal
        principal.require_whole_organisation()
        try:
            made = await self.runs.erase(
                caller.organisation, body.subject.employee, body.legal_basis, body.by, principal.actor
            )
        except Held as error:
            raise Conflict(str(error)) from error
        [view] = await self._views(caller, [made], "POST /v1/erasures")
        return web.json_response(view, status=201)

    @endpoint("GET /v1/erasures", scope="holds", answers={200: ErasurePage})
    async def erasures(self, caller: Caller, query: ErasuresQuery) -> web.Response:
        """List erasures, the newest first; ``next_after`` continues. Needs a key of the whole organisation."""
        caller.principal.require_whole_organisation()
        found = await self.database.read(
            lambda connection: erasures_page(connection, caller.organisation, query.after, query.limit)
        )
        last = found[-1] if len(found) == query.limit else None
        page: ErasurePage = {
            "erasures": await self._views(caller, found, "GET /v1/erasures"),
            "next_after": None if last is None else f"{to_millis(last.requested_at)}~{last.id}",
        }
        return web.json_response(page)

    @endpoint("GET /v1/erasures/{erasure_id}", scope="holds", answers={200: ErasureView})
    async def erasure(self, caller: Caller, erasure_id: str) -> web.Response:
        """Show an erasure. Needs a key of the whole organisation."""
        caller.principal.require_whole_organisation()
        found = await self.database.read(lambda connection: erasure_by_id(connection, caller.organisation, erasure_id))
        if found is None:
            raise NotFound(f"There is no erasure {erasure_id[:64]!r} that you may see. GET /v1/erasures lists them.")
        [view] = await self._views(caller, [found], "GET /v1/erasures/{erasure_id}")
        return web.json_response(view)

    async def _views(self, caller: Caller, found: Sequence[StoredErasure], what: str) -> list[ErasureView]:
        opened: dict[int, dict[str, str]] = {}
        if caller.principal.may("receipts:personal"):
            entries = {erasure.seq: erasure.id for erasure in found if erasure.seq is not None}
            opened = await self.disclosures.values(reader_of(caller.principal, what), caller.organisation, entries)
        return [_view(erasure, {} if erasure.seq is None else opened.get(erasure.seq, {})) for erasure in found]


def _view(erasure: StoredErasure, opened: Mapping[str, str]) -> ErasureView:
    return {
        "erasure_id": erasure.id,
        "state": erasure.state,
        "legal_basis": erasure.legal_basis,
        "pseudonym": erasure.pseudonym,
        "requested_at": rfc3339(erasure.requested_at),
        "by": opened.get("by"),
        "erased": erasure.erased,
        "held_back": erasure.held_back,
        "matters": list(erasure.matters),
        "seq": erasure.seq,
        "scrubbed_at": None if erasure.scrubbed_at is None else rfc3339(erasure.scrubbed_at),
    }
