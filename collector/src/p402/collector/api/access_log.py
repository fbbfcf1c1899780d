"""The access log over HTTP: who read what of personal data. Reading the names of readers is such a read itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator, reader_of
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Id, Json, Time, shape
from p402.collector.api.query import Page
from p402.collector.storage.access_log import AccessRow, access_page
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import Disclosures
from p402.vocabulary import rfc3339

__all__ = ["AccessLogApi"]

_WHAT = "GET /v1/access-log"


@shape
class AccessView(TypedDict):
    """One read of personal data."""

    number: Count
    """Rows of an organisation are numbered from 1 without gaps."""
    at: Time
    key_id: Annotated[str | None, Field(examples=["key_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]
    """Of the API key, or of what somebody did since they signed in at the page; null: somebody on this machine."""
    who: Annotated[str | None, Field(examples=["e-1042"])]
    """The employee that the key is bound to, or who signed in; null without the scope `receipts:personal`."""
    who_digest: str | None
    """What the log commits to in the place of that name."""
    what: Annotated[str, Field(examples=["GET /v1/receipts/{receipt_id}"])]
    items: list[Id] | Json
    """Ids of what was read; of more than a hundred the first and the last."""
    count: Count
    seq: Count | None
    """The entry of the log that covers the row; null: one will within `P402_ACCESS_LOG_SECONDS`."""


@shape
class AccessLogPage(TypedDict):
    """Reads of personal data, the earliest first."""

    reads: list[AccessView]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class AccessLogApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    disclosures: Disclosures
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/access-log", scope="holds", answers={200: AccessLogPage})
    async def reads(self, caller: Caller, query: Page) -> web.Response:
        """List who read personal data, the earliest first; ``next_after`` continues.

        Needs a key of the whole organisation.
        """
        caller.principal.require_whole_organisation()
        found = await self.database.read(
            lambda connection: access_page(connection, caller.organisation, query.after, query.limit)
        )
        names: dict[str, str] = {}
        if caller.principal.may("receipts:personal"):
            rows = {row.who: f"row {row.number}" for row in found if row.who is not None}
            reader = reader_of(caller.principal, _WHAT)
            names = await self.disclosures.readers(reader, caller.organisation, rows)
        page: AccessLogPage = {
            "reads": [_view(row, names) for row in found],
            "next_after": found[-1].number if len(found) == query.limit else None,
        }
        return web.json_response(page)


def _view(row: AccessRow, names: dict[str, str]) -> AccessView:
    return {
        "number": row.number,
        "at": rfc3339(row.at),
        "key_id": row.key_id,
        "who": None if row.who is None else names.get(row.who),
        "who_digest": row.who,
        "what": row.what,
        "items": row.items,
        "count": row.count,
        "seq": row.seq,
    }
