"""Events and their deliveries over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Id, Json, Node, Time, shape
from p402.collector.api.problem import NotFound
from p402.collector.api.query import Page
from p402.collector.notifications.events import EventType
from p402.collector.notifications.ports import DeliveryState
from p402.collector.storage.database import Database
from p402.collector.storage.events import EventFilter, EventWithDeliveries, events_page, redeliver
from p402.vocabulary import Clock, rfc3339

__all__ = ["EventsApi"]


class EventsQuery(Page):
    """Which events."""

    type: EventType | None = None
    state: Annotated[DeliveryState | None, Field(description="Of one of their deliveries.")] = None


@shape
class DeliveryView(TypedDict):
    """What became of an event at a channel."""

    channel: str
    state: DeliveryState
    attempts: Count
    next_try_at: Time | None
    settled_at: Time | None
    problem: str | None


@shape
class EventView(TypedDict):
    """A fact that others are told."""

    event_id: Id
    seq: int
    type: str
    organisation: Node
    timestamp: Time
    data: Json
    deliveries: list[DeliveryView]


@shape
class EventPage(TypedDict):
    """Events in the order in which they were published."""

    events: list[EventView]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class EventsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    channels: frozenset[str]
    """The names in the configuration."""
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/events", scope="spend:read", answers={200: EventPage})
    async def events(self, caller: Caller, query: EventsQuery) -> web.Response:
        """List events in the order in which they were published; ``next_after`` continues."""
        caller.principal.require_whole_organisation()
        asked, after, limit = EventFilter(query.type, query.state), query.after, query.limit
        found = await self.database.read(
            lambda connection: events_page(connection, caller.organisation, asked, after, limit)
        )
        page: EventPage = {
            "events": [_view(item) for item in found],
            "next_after": found[-1].event.seq if len(found) == limit else None,
        }
        return web.json_response(page)

    @endpoint("POST /v1/events/{event_id}/redeliver", scope="admin", answers={202: EventView})
    async def redeliver(self, caller: Caller, event_id: str) -> web.Response:
        """Have an event sent once more to every channel that subscribes to it."""
        caller.principal.require_whole_organisation()
        organisation, now = caller.organisation, self.clock.now()
        found = await self.database.write(
            lambda connection: redeliver(connection, organisation, event_id, self.channels, now)
        )
        if found is None:
            raise NotFound(f"There is no event {event_id[:40]!r} in {organisation!r}. GET /v1/events lists them.")
        return web.json_response(_view(found), status=202)


def _view(item: EventWithDeliveries) -> EventView:
    event = item.event
    return {
        "event_id": event.event_id,
        "seq": event.seq,
        "type": event.type,
        "organisation": event.organisation,
        "timestamp": rfc3339(event.at),
        "data": dict(event.payload),
        "deliveries": [
            {
                "channel": delivery.channel,
                "state": delivery.state,
                "attempts": delivery.attempts,
                "next_try_at": None if delivery.due_at is None else rfc3339(delivery.due_at),
                "settled_at": None if delivery.settled_at is None else rfc3339(delivery.settled_at),
                "problem": delivery.problem,
            }
            for delivery in item.deliveries
        ],
    }
