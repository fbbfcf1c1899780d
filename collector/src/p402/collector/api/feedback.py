"""The feedback API: may this call be made, by which model, how long an answer; and what it used afterwards.

A service that is instrumented asks for leases and decides by itself; anybody else, in any language, asks for each call.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from aiohttp import web
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator, Principal
from p402.collector.api.endpoint import Caller, HeaderParameter, ProblemWith, endpoint, routes_of
from p402.collector.api.feedback_rules import RulesView
from p402.collector.api.feedback_schema import (
    Allowed,
    AskBody,
    Blocked,
    DecisionView,
    GrantedLease,
    LeaseAnswer,
    LeaseSettlement,
    NamedCard,
    Refusal,
    Settled,
    SettledLease,
    Settlement,
    amounts_from,
    amounts_view,
    decision_view,
    limits_view,
)
from p402.collector.api.problem import BadRequest, NotFound, PaymentRequired, Unauthorised, UnprocessableContent
from p402.collector.api.settlement_span import span_of
from p402.collector.pipeline.ingest import Ingest
from p402.collector.storage.asked_again import IdempotencyKeyReused
from p402.collector.storage.database import Database
from p402.collector.storage.decision_rows import Decided, decision_by_id
from p402.collector.storage.decisions import Asked, Decisions, Granted
from p402.collector.storage.driver import driver
from p402.collector.storage.leases import GivenBack, LeaseKind, give_back, lease_by_id, release
from p402.collector.storage.valid_keys import KeyRenamed, KeyRevoked, require_valid_key
from p402.decisions import Question, Verdict
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Attribution, Clock, Money, is_valid_id, rfc3339

__all__ = ["FeedbackApi", "HoldTimes"]

T = TypeVar("T")
_IDEMPOTENCY_KEY = HeaderParameter(
    "Idempotency-Key",
    "Asked again with the same key and question, the same is answered while it holds money for the call; then it is"
    " decided afresh.",
    "call-7f3a",
)
_PATH = tuple(
    HeaderParameter(f"X-P402-{level.value.capitalize()}", f"The {level.value} that the request is for.", "legal")
    for level, _ in Attribution()
)


@dataclass(frozen=True, slots=True)
class HoldTimes:
    """How long money is held, unless the asker says otherwise."""

    lease: timedelta
    decision: timedelta
    authorize: timedelta


@dataclass(frozen=True, slots=True)
class FeedbackApi:
    """What the handlers need."""

    database: Database
    decisions: Decisions
    rules: RulesView
    ingest: Ingest
    authenticator: Authenticator
    metrics: CollectorMetrics
    clock: Clock
    default_organisation: str
    times: HoldTimes
    authorize_amount: Money

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    # --- asking

    @endpoint(
        "POST /v1/decisions",
        scope="feedback",
        answers={200: DecisionView, 402: ProblemWith(Refusal)},
        problems=(409, 422),
        headers=(_IDEMPOTENCY_KEY,),
        checks_key_again=True,
    )
    async def decide(self, request: web.Request, caller: Caller, body: AskBody) -> web.Response:
        """Decide about one call and hold what it needs; 402 if it may not be made."""
        key = request.headers.get("Idempotency-Key")
        if key is not None and not is_valid_id(key):
            raise BadRequest("The header Idempotency-Key must be 1 to 256 printable characters.")
        granted, _ = await self._ask(caller.principal, body, LeaseKind.DECISION, self.times.decision, key)
        view = decision_view(granted)
        if granted.decision.verdict is Verdict.BLOCK:
            raise PaymentRequired(f"The call may not be made: {granted.decision.rationale}.", view)
        return web.json_response(view)

    @endpoint("POST /v1/leases", scope="feedback", answers={200: LeaseAnswer}, problems=(409,), checks_key_again=True)
    async def lease(self, caller: Caller, body: AskBody) -> web.Response:
        """Decide about one call and hold more than it needs, for calls to come; with the rules to decide about them."""
        granted, question = await self._ask(caller.principal, body, LeaseKind.LEASE, self.times.lease, None)
        now = self.clock.now()
        assert granted.budgets is not None
        lease: GrantedLease | None = None
        if granted.lease_id is not None and granted.expires_at is not None:
            lease = {
                "id": granted.lease_id,
                "expires_at": rfc3339(granted.expires_at),
                "amounts": amounts_view(granted.amounts),
            }
        assert granted.attribution is not None
        path = granted.budgets.on_path(granted.attribution)
        limits = limits_view(path, now)
        answer = json.dumps(
            {
                "decision": decision_view(granted),
                "lease": lease,
                "limits": limits,
                "current_until": rfc3339(self.decisions.current_until(path, now)),
                "card": self._card_view(question, now),
            }
        )
        stale = body.rules_version != granted.budgets.version
        rules = self.rules.text(granted, question, limits, now) if stale else "null"
        return web.Response(text=f'{answer[:-1]}, "rules": {rules}}}', content_type="application/json")

    @endpoint(
        "GET /v1/authorize",
        scope="feedback",
        answers={200: Allowed, 403: Blocked},
        headers=_PATH,
        sends=("X-P402-Budget",),
        checks_key_again=True,
    )
    async def authorize(self, request: web.Request, caller: Caller) -> web.Response:
        """Say 200 or 403 to a proxy that asks about a request it has not read (nginx auth_request, Envoy ext_authz).

        Who it is for comes from the key's binding and from ``X-P402-…`` headers that the proxy sets.
        """
        principal = caller.principal
        named = {level.value: request.headers.get(f"X-P402-{level.value.capitalize()}") for level, _ in Attribution()}
        asked = Attribution(**{level: value if is_valid_id(value) else None for level, value in named.items()})
        attribution = principal.bound_to.over(asked).over(Attribution(organisation=self.default_organisation))
        now = self.clock.now()
        short = await self._change(
            principal,
            lambda connection: self.decisions.authorize(
                connection, attribution, self.authorize_amount, principal.key_id or "", self.times.authorize, now
            ),
        )
        if short is None:
            return web.json_response(Allowed(verdict="allow"))
        refusal = Blocked(verdict="block", budget=short)
        return web.json_response(refusal, status=403, headers={"X-P402-Budget": short})

    # --- settling

    @endpoint("POST /v1/decisions/{decision}/settle", scope="feedback", answers={200: Settled})
    async def settle_decision(self, caller: Caller, decision: str, body: Settlement) -> web.Response:
        """Say what a call used: it is priced and charged once, whether this or its span comes first."""
        principal = caller.principal
        decided = await self._decided(decision, principal)
        if body.outcome == "completed":
            if body.usage is None:
                raise BadRequest("A call that was completed is settled with its usage.")
            span = span_of(decided, body, self.clock.now())
            organisation = Attribution(organisation=decided.organisation)
            counts = await self.ingest.ingest([span], principal.bound_to.over(organisation), principal.key_id)
            outcome = next(iter(counts))
        else:
            outcome = body.outcome
            await self.database.write(lambda connection: self._let_go(connection, decided))
        return web.json_response(Settled(id=decided.id, outcome=outcome))

    @endpoint(
        "POST /v1/leases/{lease}/settle",
        scope="feedback",
        answers={200: SettledLease},
        problems=(409,),
        checks_key_again=True,
    )
    async def settle_lease(self, caller: Caller, lease: str, body: LeaseSettlement) -> web.Response:
        """Give back what a lease holds beyond calls under way."""
        keep, now, key_id = amounts_from(body.keep), self.clock.now(), caller.principal.key_id or ""

        def change(connection: Connection) -> GivenBack | None:
            sql = driver(connection)
            held = lease_by_id(sql, lease)
            if held is None or held.key_id != key_id:
                return None
            budgets = self.decisions.budgets(connection, held.organisation, now)
            return give_back(sql, held, budgets, calls=body.calls, keep=keep, at=now)

        given = await self._change(caller.principal, change)
        if given is None:
            raise NotFound(f"There is no lease {lease[:64]!r} of this API key.")
        return web.json_response(SettledLease(state=given.state, missing_calls=given.missing_calls))

    # --- shared

    async def _ask(
        self, principal: Principal, body: AskBody, kind: LeaseKind, longest: timedelta, idempotency_key: str | None
    ) -> tuple[Granted, Question]:
        question = body.question.question(principal.bound_to, self.default_organisation)
        now = self.clock.now()
        asked = Asked(
            question=question,
            kind=kind,
            key_id=principal.key_id or "",
            longest=timedelta(seconds=body.expires_in_seconds) if body.expires_in_seconds else longest,
            idempotency_key=idempotency_key,
        )
        try:
            granted = await self._change(principal, lambda connection: self.decisions.ask(connection, asked, now))
        except IdempotencyKeyReused as error:
            raise UnprocessableContent(str(error)) from error
        self.metrics.decided(granted.decision.verdict.value, granted.decision.code.value)
        return granted, question

    async def _change(self, principal: Principal, change: Callable[[Connection], T]) -> T:
        """Run a change for a key that may have come from memory: it is made only if the key is still the same."""

        def checked(connection: Connection) -> T:
            if principal.key_id is not None and principal.session_id is None:
                require_valid_key(driver(connection), principal.key_id, principal.bound_to.employee)
            return change(connection)

        try:
            return await self.database.write(checked)
        except KeyRevoked as error:
            self.authenticator.forget()
            raise Unauthorised(str(error)) from error
        except KeyRenamed:
            self.authenticator.forget()
            raise

    async def _decided(self, decision_id: str, principal: Principal) -> Decided:
        key_id = principal.key_id or ""
        decided = await self.database.read(lambda connection: decision_by_id(driver(connection), decision_id, key_id))
        if decided is None:
            raise NotFound(f"There is no decision {decision_id[:64]!r} of this API key.")
        return decided

    def _let_go(self, connection: Connection, decided: Decided) -> None:
        sql = driver(connection)
        lease = lease_by_id(sql, decided.lease_id) if decided.lease_id else None
        if lease is not None:
            release(sql, lease, {}, self.clock.now())

    def _card_view(self, question: Question, at: datetime) -> NamedCard | None:
        card = self.decisions.card(question.provider, question.model, question.service_tier, at)
        if card is None:
            return None
        return {
            "provider": question.provider,
            "model": question.model,
            "service_tier": question.service_tier,
            "card": card.to_wire(),
        }
