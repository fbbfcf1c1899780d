"""Decides about calls by what the budgets have left, and holds the money: one change of the database's one writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from p402.collector.budgets.budget import BudgetSet
from p402.collector.budgets.grant import Position, funds, lease_amounts
from p402.collector.budgets.path import BudgetPath
from p402.collector.pricing import PriceBook, Span
from p402.collector.storage.accounts import balances_of
from p402.collector.storage.asked_again import StillHeld, asked_before, let_go_of_key, still_held
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.decision_rows import Decided, record_decision
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.leases import LeaseKind, open_lease
from p402.collector.storage.owners import Owners
from p402.collector.storage.rule_changes import recall
from p402.decisions import (
    DEFAULT_POLICY,
    Catalogue,
    Decision,
    Funds,
    Measure,
    Policy,
    Question,
    RateCard,
    Rules,
    Verdict,
    decide,
)
from p402.vocabulary import Attribution, IdFactory, Money, Permanent

__all__ = ["Asked", "Decisions", "Granted", "PolicyOf", "TooManyLeases"]

PolicyOf = Callable[[Connection, str, str | None], Policy]
"""Gives the policy of an organisation's department."""

_Held = tuple[str | None, Mapping[Measure, int], datetime | None]
"""The lease that a decision opened, what of it limits calls under it, and until when."""

_NO_LEASE: _Held = (None, {}, None)
_MOST_REMEMBERED = 1_000  # policies
_MOST_OPEN = 10_000  # leases that one key may have at once


class TooManyLeases(Permanent):
    """A key holds as much as one may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, who asks, and for how long money is to be held."""

    question: Question
    kind: LeaseKind
    key_id: str
    longest: timedelta
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A decision, and the lease that it opened, if any."""

    id: str
    decision: Decision
    decided_at: datetime
    lease_id: str | None = None
    amounts: Mapping[Measure, int] = field(default_factory=dict)
    """What calls under it may take together; what budgets that only observe count is not among it."""
    expires_at: datetime | None = None
    budgets: BudgetSet | None = None
    policy: Policy | None = None
    attribution: Attribution | None = None
    """Whose the call is, as it is recorded."""
    by_employee: bool = False
    """Whether calls that name no department may be of several, each by its employee."""


class Decisions:
    """Makes decisions; used by the writer only."""

    def __init__(
        self,
        rules: BudgetRules,
        policy_of: PolicyOf,
        catalogue: Catalogue,
        prices: PriceBook,
        new_id: IdFactory,
        owners: Owners | None = None,
    ) -> None:
        self._rules = rules
        self._owners = owners
        self._policy_of = policy_of
        self._catalogue = catalogue
        self._prices = prices
        self._new_id = new_id
        self._rules_of: dict[int, tuple[Span, Rules]] = {}
        self._open: dict[str, int] = {}
        """The most leases that a key can have open: so many were counted, and so many were opened since."""

    def budgets(self, connection: Connection, organisation: str, at: datetime) -> BudgetSet:
        """Give the budgets of an organisation."""
        return self._rules.of(driver(connection), organisation, at)

    def ask(self, connection: Connection, asked: Asked, at: datetime) -> Granted:
        """Decide, hold what the decision needs (a lease: more, for calls to come), and record it.

        Raises:
            TooManyLeases: if the key has as many open as one may.
            IdempotencyKeyReused: if something else was asked with it before.
        """
        sql = driver(connection)
        said = asked.question.attribution
        by_employee = self._goes_by_employee(sql, said)
        asked = self._as_recorded(sql, asked, at)
        question = asked.question
        organisation = question.attribution.organisation or ""
        budgets = self._rules.of(sql, organisation, at)
        before: Decided | None = None
        if asked.idempotency_key is not None:
            given = said.department is None
            before = asked_before(sql, asked.key_id, asked.idempotency_key, question, department_is_given=given)
            if before is not None and (held := still_held(sql, before, budgets, at)) is not None:
                return self._again(before, question, held, at)
        path = budgets.on_path(question.attribution)
        positions = list(map(Position, path, balances_of(sql, path, at)))
        policy = self._policy_of(connection, organisation, question.attribution.department)
        available = funds(positions, at)
        decision = self._decide(question, policy, available, positions, at, observing=path.observes)
        id_ = self._new_id("dec", at)
        lease_id, amounts, expires_at = _NO_LEASE
        if decision.goes_ahead:
            if path.measures:
                lease_id, amounts, expires_at = self._hold(sql, asked, id_, decision, available, positions, path, at)
        elif decision.verdict is Verdict.WAIT:
            recall(connection, organisation)
        granted = Granted(
            id=id_,
            decision=decision,
            decided_at=at,
            lease_id=lease_id,
            amounts=amounts,
            expires_at=expires_at,
            budgets=budgets,
            policy=policy,
            attribution=question.attribution,
            by_employee=by_employee,
        )
        if decision.verdict is not Verdict.WAIT:  # who waits asks again
            if before is not None:
                let_go_of_key(sql, before)
            record_decision(
                sql,
                id_=id_,
                question=question,
                decision=decision,
                key_id=asked.key_id,
                idempotency_key=asked.idempotency_key,
                lease_id=lease_id,
                at=at,
            )
        return granted

    def authorize(
        self,
        connection: Connection,
        attribution: Attribution,
        amount: Money,
        key_id: str,
        longest: timedelta,
        at: datetime,
    ) -> str | None:
        """Hold an amount for a call that nobody describes; gives None, or which budget has too little left.

        The hold only expires: the call itself is seen, if at all, as a span.
        """
        sql = driver(connection)
        organisation = attribution.organisation or ""
        if self._owners is not None:
            attribution = self._owners.apply(sql, attribution, at)
        path = self._rules.of(sql, organisation, at).on_path(attribution)
        positions = list(map(Position, path, balances_of(sql, path, at)))
        needed = {Measure.COST: amount.nano_usd, Measure.REQUESTS: 1, Measure.CONCURRENCY: 0, Measure.TOKENS: 0}
        available = funds(positions, at)
        short = next((measure for measure, left in available.left.items() if needed[measure] > left or not left), None)
        if short is not None:
            recall(connection, organisation)
            return available.budget[short]
        if available.left:
            open_lease(
                sql,
                id_=self._new_id("dec", at),
                kind=LeaseKind.AUTHORIZE,
                key_id=key_id,
                attribution=attribution,
                path=path,
                amounts=needed,
                at=at,
                longest=longest,
            )
        return None

    def card(self, provider: str, model: str, service_tier: str | None, at: datetime) -> RateCard | None:
        """Give the prices of a model; None if they are not known."""
        card = self._prices.card(provider, model, at, service_tier)
        return card if isinstance(card, RateCard) else None

    def rules(self, policy: Policy, at: datetime) -> Rules:
        """Give what decides apart from money; kept until a price changes, since it remembers the order of models by price."""
        span = self._prices.span(at)
        known = self._rules_of.get(id(policy))
        if known is None or known[0] != span or known[1].policy is not policy:
            if len(self._rules_of) >= _MOST_REMEMBERED:
                self._rules_of.clear()
            known = (
                span,
                Rules(policy, self._catalogue, lambda provider, model, tier: self.card(provider, model, tier, at)),
            )
            self._rules_of[id(policy)] = known
        return known[1]

    def current_until(self, path: BudgetPath, at: datetime) -> datetime:
        """Give until when prices, and what limits each call of a path, are as they are, unless rules change."""
        override, price = path.overridden_until(at), self._prices.span(at).until
        return price if override is None else min(override, price)

    def _goes_by_employee(self, sql: Driver, said: Attribution) -> bool:
        if self._owners is None or said.department is not None:
            return False
        return self._owners.are_listed(sql, said.organisation or "")

    def _as_recorded(self, sql: Driver, asked: Asked, at: datetime) -> Asked:
        said = asked.question.attribution
        whose = said if self._owners is None else self._owners.apply(sql, said, at)
        return asked if whose is said else replace(asked, question=replace(asked.question, attribution=whose))

    def _again(self, before: Decided, question: Question, held: StillHeld, at: datetime) -> Granted:
        """Give the answer that was given before, with what is held; what no budget counts is worked out again."""
        said = before.decision
        call = replace(question, model=said.model, output_tokens=said.output_tokens or question.output_tokens)
        needed = decide(call, self.rules(DEFAULT_POLICY, at), Funds(), at).holds
        return Granted(
            id=before.id,
            decision=replace(said, holds={**needed, **held.amounts}),
            decided_at=before.decided_at,
            lease_id=before.lease_id,
            amounts=held.amounts,
            expires_at=held.expires_at,
        )

    def _decide(
        self,
        question: Question,
        policy: Policy,
        available: Funds,
        positions: Sequence[Position],
        at: datetime,
        *,
        observing: bool,
    ) -> Decision:
        rules = self.rules(policy, at)
        decision = decide(question, rules, available, at)
        if observing and decision.would is None:
            watched = decide(question, rules, funds(positions, at, observing=True), at)
            if watched.verdict is not decision.verdict:
                decision = replace(decision, would=f"{watched.verdict}: {watched.rationale}")
        return decision

    def _hold(
        self,
        sql: Driver,
        asked: Asked,
        decision_id: str,
        decision: Decision,
        available: Funds,
        positions: Sequence[Position],
        path: BudgetPath,
        at: datetime,
    ) -> _Held:
        needed = decision.holds
        self._count(sql, asked.key_id)
        lease_id, longest = decision_id, asked.longest
        held = {measure: needed.get(measure, 0) for measure in path.measures}
        limits = {measure: held[measure] for measure in available.left}
        if asked.kind is LeaseKind.LEASE:
            lease_id = self._new_id("lease", at)
            limits = lease_amounts(needed, available.left)
            if path.observes:
                held |= lease_amounts(needed, funds(positions, at, observing=True).left)
            held |= limits
            if (end := path.overridden_until(at)) is not None:
                longest = min(longest, end - at)  # what an override allows, it allows for no call after its end
        expires_at = open_lease(
            sql,
            id_=lease_id,
            kind=asked.kind,
            key_id=asked.key_id,
            attribution=asked.question.attribution,
            path=path,
            amounts=held,
            at=at,
            longest=longest,
        )
        return lease_id, limits, expires_at

    def _count(self, sql: Driver, key_id: str) -> None:
        """Keep the number of a key's open leases in bounds; they are only counted when there may be too many."""
        at_most = self._open.get(key_id, _MOST_OPEN) + 1
        if at_most > _MOST_OPEN:
            found = sql.execute("SELECT COUNT(*) FROM leases WHERE key_id = ? AND state = 'open'", (key_id,))
            at_most = int(found.fetchone()[0]) + 1
        if at_most > _MOST_OPEN:
            raise TooManyLeases(
                f"This API key holds {_MOST_OPEN:,} leases at once; give some back, or let them expire, before asking "
                "for more."
            )
        self._open[key_id] = at_most
