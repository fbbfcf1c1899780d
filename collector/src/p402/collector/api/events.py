"""Events and their deliveries over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from p402.collector.api.auth import Authenticator
from p402.collector.api.pages import MAX_LIMIT, choice, integer, organisation_of
from p402.collector.api.problem import NotFound
from p402.collector.notifications.events import EventType
from p402.collector.notifications.ports import DeliveryState
from p402.collector.storage.database import Database
from p402.collector.storage.events import EventFilter, EventWithDeliveries, events_page, redeliver
from p402.vocabulary import Clock, rfc3339

__all__ = ["EventsApi"]


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
        return [
            web.get("/v1/events", self.events, allow_head=False),
            web.post("/v1/events/{event_id}/redeliver", self.redeliver),
        ]

    async def events(self, request: web.Request) -> web.Response:
        """List events in the order in which they were published; ``next_after`` continues."""
        principal = await self.authenticator.authenticate(request, "spend:read")
        organisation = organisation_of(request, principal, self.default_organisation)
        principal.require_whole_organisation()
        asked = EventFilter(choice(request, "type", EventType), choice(request, "state", DeliveryState))
        after = integer(request, "after", 0, least=0, most=2**53)
        limit = integer(request, "limit", 100, least=1, most=MAX_LIMIT)
        found = await self.database.read(lambda connection: events_page(connection, organisation, asked, after, limit))
        return web.json_response(
            {
                "events": [_view(item) for item in found],
                "next_after": found[-1].event.seq if len(found) == limit else None,
            }
        )

    async def redeliver(self, request: web.Request) -> web.Response:
        """Have an event sent once more to every channel that subscribes to it."""
        principal = await self.authenticator.authenticate(request, "admin")
        organisation = organisation_of(request, principal, self.default_organisation)
        principal.require_whole_organisation()
        event_id, now = request.match_info["event_id"], self.clock.now()
        found = await self.database.write(
            lambda connection: redeliver(connection, organisation, event_id, self.channels, now)
        )
        if found is None:
            raise NotFound(f"There is no event {event_id[:40]!r} in {organisation!r}. GET /v1/events lists them.")
        return web.json_response(_view(found), status=202)


def _view(item: EventWithDeliveries) -> dict[str, Any]:
    event = item.event
    return {
        "event_id": event.event_id,
        "seq": event.seq,
        "type": event.type,
        "organisation": event.organisation,
        "timestamp": rfc3339(event.at),
        "data": event.payload,
        "deliveries": [
            {
                "channel": delivery.channel,
                "state": delivery.state.value,
                "attempts": delivery.attempts,
                "next_try_at": None if delivery.due_at is None else rfc3339(delivery.due_at),
                "settled_at": None if delivery.settled_at is None else rfc3339(delivery.settled_at),
                "problem": delivery.problem,
            }
            for delivery in item.deliveries
        ],
    }
