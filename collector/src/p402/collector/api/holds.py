"""Legal holds over HTTP: placed, listed, released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import Connection
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator, reader_of
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Node, Time, shape
from p402.collector.api.problem import Conflict, NotFound
from p402.collector.api.query import BodyTime, Cursor, Limit, NodeId, Query
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import Disclosures
from p402.collector.storage.erasure_runs import ErasureRuns
from p402.collector.storage.holds import HoldReleased, Holds, StoredHold, holds_page
from p402.receipts import MAX_COMMITTED_TEXT
from p402.vocabulary import Attribution, Clock, IdFactory, is_valid_id, rfc3339

__all__ = ["HoldsApi", "PersonId", "Said"]


def _id(value: str) -> str:
    if not is_valid_id(value):
        raise ValueError("1 to 256 printable characters without spaces around them")
    return value


PersonId = Annotated[str, AfterValidator(_id), Field(min_length=1, max_length=256, examples=["e-1042"])]
"""Who did something, or who it is about, in the words of the organisation."""
Said = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_COMMITTED_TEXT, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")
]
"""What somebody wrote; kept in the vault."""


class HoldScope(BaseModel):
    """What is held: all that fits every member; none of them: everything of the organisation."""

    model_config = ConfigDict(extra="forbid")

    department: NodeId | None = None
    project: NodeId | None = None
    client: NodeId | None = None
    employee: NodeId | None = None
    session: NodeId | None = None


class NewHold(BaseModel):
    """A legal hold."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    matter: Annotated[str, AfterValidator(_id), Field(min_length=1, max_length=256, examples=["doe-v-acme"])]
    """Id of the legal matter; it is shown to whoever is refused, so it should name no person."""
    scope: HoldScope = Field(default_factory=HoldScope)
    begin: Annotated[BodyTime | None, Field(alias="from", description="The first time that is held.")] = None
    end: Annotated[BodyTime | None, Field(alias="to", description="The first that is not held any more.")] = None
    by: PersonId
    reason: Said | None = None

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.begin is not None and self.end is not None and self.end <= self.begin:
            raise ValueError("to must be after from")
        return self


class Release(BaseModel):
    """That a hold is over."""

    model_config = ConfigDict(extra="forbid")

    by: PersonId
    reason: Said | None = None


class HoldsQuery(Query):
    """Which holds."""

    state: Annotated[Literal["all", "active"], Field(description="`active` leaves out the released ones.")] = "all"
    after: Annotated[Cursor | None, Field(description="Goes on after this one: `next_after` of the page before.")] = (
        None
    )
    limit: Limit = 100


_Times = TypedDict("_Times", {"from": Time | None, "to": Time | None})


@shape
class HoldView(_Times):
    """A legal hold."""

    hold_id: Annotated[str, Field(examples=["hold_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]
    matter: Annotated[str, Field(examples=["doe-v-acme"])]
    state: Literal["active", "released"]
    department: Node | None
    project: Node | None
    client: Node | None
    names_somebody: bool
    """Whether it is about an employee or a session; which, is told with the scope `receipts:personal`."""
    employee: Node | None
    session_id: str | None
    by: str | None
    reason: str | None
    placed_at: Time
    released_at: Time | None
    seqs: list[Count]
    """Places of its entries in the log."""


@shape
class HoldPage(TypedDict):
    """Holds, the newest first."""

    holds: list[HoldView]
    next_after: Annotated[str | None, Field(examples=["1778835600000~hold_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]


@dataclass(frozen=True, slots=True)
class HoldsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    store: Holds
    erasures: ErasureRuns
    disclosures: Disclosures
    clock: Clock
    new_id: IdFactory
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/holds", scope="holds", answers={200: HoldPage})
    async def holds(self, caller: Caller, query: HoldsQuery) -> web.Response:
        """List legal holds, the newest first; ``next_after`` continues. Needs a key of the whole organisation."""
        caller.principal.require_whole_organisation()
        active = query.state == "active"
        found = await self.database.read(
            lambda connection: holds_page(connection, caller.organisation, query.after, query.limit, active=active)
        )
        views = await self._views(caller, found, "GET /v1/holds")
        last = found[-1] if len(found) == query.limit else None
        page: HoldPage = {
            "holds": views,
            "next_after": None if last is None else f"{to_millis(last.placed_at)}~{last.hold.id}",
        }
        return web.json_response(page)

    @endpoint("POST /v1/holds", scope="holds", answers={201: HoldView})
    async def place(self, caller: Caller, body: NewHold) -> web.Response:
        """Place a legal hold: what it covers is neither erased nor pruned until it is released.

        Needs a key of the whole organisation.
        """
        caller.principal.require_whole_organisation()
        scope = Attribution(caller.organisation, **body.scope.model_dump())
        now = self.clock.now()
        hold_id = self.new_id("hold", now)

        def change(connection: Connection) -> StoredHold:
            return self.store.place(
                connection, hold_id, scope, body.matter, body.begin, body.end, body.by, body.reason, now
            )

        placed = await self.database.write(change)
        [view] = await self._views(caller, [placed], "POST /v1/holds")
        return web.json_response(view, status=201)

    @endpoint("POST /v1/holds/{hold_id}/release", scope="holds", answers={200: HoldView}, problems=(409,))
    async def release(self, caller: Caller, hold_id: str, body: Release) -> web.Response:
        """Release a hold, once; erasures that it held back are completed by themselves.

        Needs a key of the whole organisation.
        """
        caller.principal.require_whole_organisation()
        organisation, now = caller.organisation, self.clock.now()
        people = await self.erasures.held_people(organisation)

        def change(connection: Connection) -> StoredHold | None:
            found = self.store.release(connection, organisation, hold_id, body.by, body.reason, now)
            if found is not None:
                self.erasures.complete(connection, organisation, people, now)
            return found

        try:
            released = await self.database.write(change)
        except HoldReleased as error:
            raise Conflict(str(error)) from error
        if released is None:
            raise NotFound(f"There is no hold {hold_id[:64]!r} that you may see. GET /v1/holds lists them.")
        await self.erasures.catch_up()
        [view] = await self._views(caller, [released], "POST /v1/holds/{hold_id}/release")
        return web.json_response(view)

    async def _views(self, caller: Caller, holds: Sequence[StoredHold], what: str) -> list[HoldView]:
        opened: dict[int, dict[str, str]] = {}
        if caller.principal.may("receipts:personal"):
            entries = {hold.placed_seq: hold.hold.id for hold in holds}
            opened = await self.disclosures.values(reader_of(caller.principal, what), caller.organisation, entries)
        return [_view(hold, opened.get(hold.placed_seq, {})) for hold in holds]


def _view(stored: StoredHold, opened: Mapping[str, str]) -> HoldView:
    hold = stored.hold
    return {
        "hold_id": hold.id,
        "matter": hold.matter,
        "state": "active" if stored.released_at is None else "released",
        "department": hold.department,
        "project": hold.project,
        "client": hold.client,
        "names_somebody": stored.names_somebody,
        "employee": opened.get("employee"),
        "session_id": opened.get("session_id"),
        "by": opened.get("by"),
        "reason": opened.get("reason"),
        "from": _time(hold.begins_at),
        "to": _time(hold.ends_at),
        "placed_at": rfc3339(stored.placed_at),
        "released_at": None if stored.released_at is None else rfc3339(stored.released_at),
        "seqs": [seq for seq in (stored.placed_seq, stored.released_seq) if seq is not None],
    }


def _time(millis: int | None) -> str | None:
    moment: datetime | None = None if millis is None else from_millis(millis)
    return None if moment is None else rfc3339(moment)
