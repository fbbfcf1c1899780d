"""Human review of sessions over HTTP: asked for, decided, commented, as often as needed; each step is in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.holds import PersonId, Said
from p402.collector.api.problem import Forbidden, NotFound
from p402.collector.api.views import ReviewView, review_view
from p402.collector.storage.database import Database
from p402.collector.storage.receipt_reviews import ReceiptReviews, ReviewStep
from p402.collector.storage.receipts import receipt_by_id
from p402.receipts import ReviewAction
from p402.vocabulary import Clock

__all__ = ["ReceiptReviewsApi", "ReviewBody"]

_ACTIONS = {
    "request": ReviewAction.REQUESTED,
    "approve": ReviewAction.APPROVED,
    "reject": ReviewAction.REJECTED,
    "comment": ReviewAction.COMMENTED,
}


class ReviewBody(BaseModel):
    """A step of a review."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["request", "approve", "reject", "comment"]
    reviewer: PersonId
    """Committed to in the log, and kept in the vault; one who reviews their own session is marked so."""
    comment: Annotated[Said | None, Field(examples=["Checked against the contract; the summary is right."])] = None
    """Likewise."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.action == "comment" and self.comment is None:
            raise ValueError("a comment needs the member comment")
        return self


@dataclass(frozen=True, slots=True)
class ReceiptReviewsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    store: ReceiptReviews
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("POST /v1/receipts/{receipt_id}/review", scope="review", answers={201: ReviewView})
    async def review(self, caller: Caller, receipt_id: str, body: ReviewBody) -> web.Response:
        """Note a step of the review of a session: it is asked for, approved, rejected, or commented.

        The step is an entry of the log at once. Who is known reviews in their own name only: whoever signed in, and the
        employee that a key is bound to.
        """
        step = await self.take(caller, receipt_id, body)
        said = {"reviewer": body.reviewer, **({} if body.comment is None else {"comment": body.comment})}
        return web.json_response(review_view(step, said), status=201)

    async def take(self, caller: Caller, receipt_id: str, body: ReviewBody) -> ReviewStep:
        """Note a step of a review, for whoever has the scope.

        Raises:
            Forbidden: if the caller is somebody else than the reviewer.
            NotFound: if there is no such receipt that the caller may see.
        """
        principal, now = caller.principal, self.clock.now()
        if principal.employee not in (None, body.reviewer):
            raise Forbidden("The reviewer must be who signed in, or the employee that the API key is bound to.")

        def change(connection: Connection) -> ReviewStep | None:
            receipt = receipt_by_id(connection, receipt_id, principal.within(caller.organisation))
            if receipt is None:
                return None
            action = _ACTIONS[body.action]
            return self.store.add(connection, receipt, action, body.reviewer, body.comment, principal.actor, now)

        step = await self.database.write(change)
        if step is None:
            raise NotFound(f"There is no receipt {receipt_id[:64]!r}, or this API key may not see it.")
        return step
