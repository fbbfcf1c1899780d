"""Settlements over HTTP: what was settled, settle now, what was paid elsewhere, and whether the chain agrees."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.problem import Conflict, NotFound
from p402.collector.api.query import Cursor, Flag, Limit, Query
from p402.collector.api.settlement_views import (
    Asked,
    PaymentPage,
    PaymentView,
    ReconciliationView,
    SettlementList,
    SettlementView,
    discrepancy_view,
    payment_view,
    settlement_view,
)
from p402.collector.settlement.ports import Settlement, SettlementState
from p402.collector.settlement.reconcile import SettlementReconciler
from p402.collector.settlement.rules import SettlementRule, SettlementRules
from p402.collector.storage.chain_checks import (
    KeptDiscrepancy,
    LastCheck,
    acknowledge_discrepancy,
    discrepancies_page,
    last_check,
)
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.settlement_requests import (
    NotInDoubt,
    Outcome,
    PaidOtherwise,
    ask_for_settlement,
    find_settlement,
    note_payment,
    payments_page,
    resolve_settlement,
)
from p402.collector.storage.settlements import settlements_page
from p402.receipts import PaidElsewhere, SettlementMode
from p402.receipts.errors import WrongChain
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Clock, Money, is_valid_id, rfc3339

__all__ = ["AcknowledgementBody", "ResolutionBody", "SettlementsApi"]


class SettlementsQuery(Query):
    """Which settlements."""

    after: Annotated[Cursor | None, Field(description="Goes on after this one: `next_after` of the page before.")] = (
        None
    )
    limit: Limit = 100
    state: Annotated[SettlementState | None, Field(description="Only those in this state.")] = None
    in_doubt: Annotated[
        Flag | None,
        Field(description="Only those of which nobody has said what became of their payment, or none of them."),
    ] = None
    unconfirmed: Annotated[
        Flag | None,
        Field(description="Only those that paid a payee that speaks MPP and has not confirmed it, or none of them."),
    ] = None


class PaymentsQuery(Query):
    """Which payments."""

    after: Annotated[
        str,
        Field(
            max_length=100,
            pattern=r"^[0-9A-Za-z_]*$",
            description="Goes on after this one: `next_after` of the page before.",
            examples=["pay_01JDC2W0V8H3QK6M4T9ZRX5B7E"],
        ),
    ] = ""
    limit: Limit = 100


class DiscrepanciesQuery(Query):
    """How many differences to show."""

    limit: Limit = 100


class PaymentBody(BaseModel):
    """A payment outside of settlements."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$"),
        Field(description="`mpp`, `x402`, `p402`, `provider-invoice`, `tempo`, or another word.", examples=["x402"]),
    ]
    id: Annotated[
        str,
        StringConstraints(min_length=1, max_length=256, pattern=r"^[!-~]([ -~]*[!-~])?$"),
        Field(description="Its transaction hash, invoice number, or whatever finds it there.", examples=["INV-7"]),
    ]
    amount_usd: Annotated[str, StringConstraints(pattern=r"^\d{1,9}(\.\d{1,9})?$"), Field(examples=["12.5"])]


class ResolutionBody(BaseModel):
    """What became of a payment in doubt."""

    model_config = ConfigDict(extra="forbid")

    outcome: Annotated[
        Outcome,
        Field(
            description="`paid`: the payee has it, and it is due no more. `not_paid`: the payer has it, and it is due again."
        ),
    ]
    reason: Annotated[
        str, StringConstraints(min_length=1, max_length=1000), Field(examples=["The payee's bank statement of today."])
    ]


class AcknowledgementBody(BaseModel):
    """Why a difference needs no more attention."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1000),
        Field(examples=["Made by hand; noted as paid elsewhere."]),
    ]


@dataclass(frozen=True, slots=True)
class SettlementsApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    rules: SettlementRules
    network: TempoNetwork | None
    reconciler: SettlementReconciler | None
    clock: Clock
    default_organisation: str
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/settlements", scope="receipts:read", answers={200: SettlementList})
    async def settlements(self, caller: Caller, query: SettlementsQuery) -> web.Response:
        """List the settlements of an organisation, the newest first."""
        caller.principal.require_whole_organisation()
        organisation = caller.organisation
        found = await self.database.read(
            lambda connection: settlements_page(
                connection, organisation, query.limit, query.after, query.state, query.in_doubt, query.unconfirmed
            )
        )
        full = len(found) == query.limit
        listed: SettlementList = {
            "settlements": [settlement_view(item, self.network) for item in found],
            "next_after": f"{to_millis(found[-1].planned_at)}~{found[-1].settlement_id}" if full else None,
        }
        return web.json_response(listed)

    @endpoint("POST /v1/settlements/flush", scope="admin", answers={202: Asked}, problems=(409,))
    async def flush(self, caller: Caller) -> web.Response:
        """Settle an organisation now, also after a failure; if its log has nothing new, nothing happens."""
        caller.principal.require_whole_organisation()
        organisation, now = caller.organisation, self.clock.now()
        rule = self._rule(organisation)
        actor = caller.principal.actor
        await self.database.write(lambda connection: ask_for_settlement(connection, organisation, actor, now))
        asked: Asked = {"organisation": organisation, "mode": rule.mode, "asked_at": rfc3339(now)}
        return web.json_response(asked, status=202)

    @endpoint("GET /v1/settlements/references", scope="receipts:read", answers={200: PaymentPage})
    async def payments(self, caller: Caller, query: PaymentsQuery) -> web.Response:
        """List what was paid elsewhere for an organisation's usage."""
        caller.principal.require_whole_organisation()
        organisation = caller.organisation
        found = await self.database.read(
            lambda connection: payments_page(connection, organisation, query.after, query.limit)
        )
        page: PaymentPage = {
            "payments": [payment_view(payment) for payment in found],
            "next_after": found[-1].payment_id if len(found) == query.limit else None,
        }
        return web.json_response(page)

    @endpoint(
        "POST /v1/settlements/references",
        scope="admin",
        answers={200: PaymentView, 201: PaymentView},
        problems=(409,),
    )
    async def note(self, caller: Caller, body: PaymentBody) -> web.Response:
        """Note a payment elsewhere: the next statement names it, and so much less is due.

        The same payment again changes nothing (200). It is for organisations that are settled in mode `pay` or `reference`.
        """
        caller.principal.require_whole_organisation()
        organisation, now = caller.organisation, self.clock.now()
        if self._rule(organisation).mode is SettlementMode.ANCHOR:
            raise Conflict(f"{organisation!r} is settled in mode anchor, where nothing is due: use pay or reference.")
        paid = PaidElsewhere(kind=body.kind, id=body.id, amount=Money.parse(body.amount_usd))
        actor = caller.principal.actor
        try:
            payment, is_new = await self.database.write(
                lambda connection: note_payment(connection, organisation, paid, actor, now)
            )
        except PaidOtherwise as error:
            raise Conflict(f"The {body.kind} payment {body.id!r} was noted before, as {error} USD.") from error
        return web.json_response(payment_view(payment), status=201 if is_new else 200)

    @endpoint("GET /v1/settlements/reconciliation", scope="receipts:read", answers={200: ReconciliationView})
    async def reconciliation(self, caller: Caller, query: DiscrepanciesQuery) -> web.Response:
        """Show how far the chain was compared with the ledger, and what differs."""
        caller.principal.require_whole_organisation()
        return web.json_response(await self.reconciliation_of(caller.organisation, query.limit))

    @endpoint(
        "POST /v1/settlements/reconciliation", scope="admin", answers={200: ReconciliationView}, problems=(409, 503)
    )
    async def reconcile(self, caller: Caller) -> web.Response:
        """Compare the chain with the ledger now, not only at night."""
        await self.compare(caller)
        return web.json_response(await self.reconciliation_of(caller.organisation, 100))

    async def compare(self, caller: Caller) -> None:
        """Compare the chain with the ledger now, for whoever has the scope.

        Raises:
            Conflict: if there is no chain to compare with, or another one.
        """
        caller.principal.require_whole_organisation()
        if self.reconciler is None:
            raise Conflict("Settlement is off, so there is no chain to compare with: set P402_SETTLEMENT_MODE.")
        try:
            async with self.comparing:
                await self.reconciler.check()
        except WrongChain as error:
            raise Conflict(str(error)) from error

    @endpoint(
        "POST /v1/settlements/reconciliation/{discrepancy_id}/acknowledge",
        scope="admin",
        answers={200: ReconciliationView},
        problems=(404,),
    )
    async def acknowledge(self, caller: Caller, discrepancy_id: str, body: AcknowledgementBody) -> web.Response:
        """Take a difference off the list; when no transfer is unknown any more, payments go on."""
        await self.take_off(caller, discrepancy_id, body)
        return web.json_response(await self.reconciliation_of(caller.organisation, 100))

    async def take_off(self, caller: Caller, discrepancy_id: str, body: AcknowledgementBody) -> None:
        """Take a difference off the list, for whoever has the scope.

        Raises:
            NotFound: if there is no such difference.
        """
        caller.principal.require_whole_organisation()
        organisation, actor, now = caller.organisation, caller.principal.actor, self.clock.now()
        is_default = organisation == self.default_organisation

        def change(connection: Connection) -> bool:
            return acknowledge_discrepancy(
                connection, discrepancy_id, organisation, actor, body.reason, now, with_nobodys=is_default
            )

        if not (is_valid_id(discrepancy_id) and await self.database.write(change)):
            raise NotFound(f"There is no difference {discrepancy_id[:64]!r} in {organisation!r}.")

    @endpoint(
        "GET /v1/settlements/{settlement_id}", scope="receipts:read", answers={200: SettlementView}, problems=(404,)
    )
    async def settlement(self, caller: Caller, settlement_id: str) -> web.Response:
        """Show one settlement."""
        caller.principal.require_whole_organisation()
        found = await self.database.read(lambda connection: self._find(connection, caller.organisation, settlement_id))
        return web.json_response(settlement_view(found, self.network))

    @endpoint(
        "POST /v1/settlements/{settlement_id}/resolve",
        scope="admin",
        answers={200: SettlementView},
        problems=(404, 409),
    )
    async def resolve(self, caller: Caller, settlement_id: str, body: ResolutionBody) -> web.Response:
        """Say what became of a payment in doubt, or that one which its payee does not confirm is paid; then payments go on."""
        return web.json_response(settlement_view(await self.say(caller, settlement_id, body), self.network))

    async def say(self, caller: Caller, settlement_id: str, body: ResolutionBody) -> Settlement:
        """Say what became of a payment in doubt, for whoever has the scope.

        Raises:
            NotFound: if there is no such settlement.
            Conflict: if it is not in doubt, or was noted otherwise.
        """
        caller.principal.require_whole_organisation()
        actor, now = caller.principal.actor, self.clock.now()

        def change(connection: Connection) -> Settlement:
            found = self._find(connection, caller.organisation, settlement_id)
            return resolve_settlement(connection, found, body.outcome, actor, body.reason, now)

        try:
            return await self.database.write(change)
        except NotInDoubt as error:
            raise Conflict(f"{settlement_id!r} is not in doubt: there is nothing to resolve.") from error
        except PaidOtherwise as error:
            raise Conflict(f"Its transaction was noted as a payment elsewhere before, of {error} USD.") from error

    def _rule(self, organisation: str) -> SettlementRule:
        rule = self.rules.of(organisation)
        if rule is None:
            raise Conflict(
                f"Settlement of {organisation!r} is off: P402_SETTLEMENT_MODE or a table [[settlement]] says how."
            )
        return rule

    def _find(self, connection: Connection, organisation: str, settlement_id: str) -> Settlement:
        found = find_settlement(connection, organisation, settlement_id) if is_valid_id(settlement_id) else None
        if found is None:
            raise NotFound(f"There is no settlement {settlement_id[:64]!r} in {organisation!r}.")
        return found

    async def reconciliation_of(self, organisation: str, limit: int) -> ReconciliationView:
        """Show how far the chain was compared with the ledger of an organisation, and what differs."""

        def query(connection: Connection) -> tuple[LastCheck | None, list[KeptDiscrepancy]]:
            is_default = organisation == self.default_organisation
            return last_check(connection), discrepancies_page(connection, organisation, limit, with_nobodys=is_default)

        last, found = await self.database.read(query)
        return {
            "chain_id": last.place.chain_id if last else None,
            "payer": last.place.payer if last else None,
            "token": last.place.token if last else None,
            "last_block": last.last_block if last else None,
            "checked_at": rfc3339(last.checked_at) if last else None,
            "discrepancies": [discrepancy_view(item, self.network) for item in found],
        }
