"""What is known here: rules by department, leases by scope; and deciding with nothing else, in microseconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from p402.decisions import Code, Decision, Funds, Question, Verdict, decide
from p402.instrumentation.feedback.admission import Admission, Pending
from p402.instrumentation.feedback.known import KnownRules, Scope, ScopeKey
from p402.instrumentation.feedback.leases import Lease
from p402.instrumentation.feedback.wire import Answer, RulesTold
from p402.vocabulary import Level

__all__ = ["Book", "RulesKey"]

RulesKey = tuple[str | None, str | None, str | None]
"""What decides which rules a call is under: organisation and department, as the application names them; where it names no
department and the collector knows those of employees, the employee."""

_AFRESH_SECONDS = 30.0
"""For how long rules count as current while changes are not heard of."""
_MOST_SCOPES = 4_096
_ORGANISATION, _DEPARTMENT, _EMPLOYEE = (
    level.attribute for level in (Level.ORGANISATION, Level.DEPARTMENT, Level.EMPLOYEE)
)
_WAIT = Verdict.WAIT
_MONEY_IS_SHORT = (Code.BUDGET_EXHAUSTED, Code.HOLDS_PENDING)


class Book:
    """Rules and scopes. Reading takes no lock; `lock` is for those who change something in steps."""

    def __init__(
        self,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        is_heard_of: Callable[[str], bool],
        low: Callable[[Scope], None],
    ) -> None:
        self._clock = clock
        self._now = now
        self._is_heard_of = is_heard_of
        """Tells whether each change of an organisation's rules arrives at once."""
        self._low = low
        """Told when a lease is used up for the most part."""
        self._rules: dict[RulesKey, KnownRules] = {}
        self._by_employee: set[str | None] = set()
        """Organisations whose calls without a department are of that of their employee."""
        self._scopes: dict[ScopeKey, Scope] = {}
        self.lock = threading.Lock()

    def is_free(self, labels: Mapping[str, str]) -> bool:
        """Tell whether nothing is to be decided about calls with these labels: no budget limits them, no policy speaks."""
        organisation, department = labels.get(_ORGANISATION), labels.get(_DEPARTMENT)
        employee = labels.get(_EMPLOYEE) if department is None and organisation in self._by_employee else None
        known = self._rules.get((organisation, department, employee))
        if known is None or not known.is_trivial or known.stale:
            return False
        scope = self._scopes.get((organisation, department, *map(labels.get, known.attributes)))
        if scope is None or not scope.is_free or not self._is_current(known):
            return False
        scope.used_at = self._clock()
        return True

    def decide(self, question: Question) -> Admission | None:
        """Decide with what is here; None if that does not suffice."""
        known = self.known(question)
        if known is None or known.stale or not known.suffices(question):
            return None
        scope = self._scopes.get(known.scope_key(question.attribution))
        if scope is None:
            return None
        if scope.is_free:
            return self._decide_freely(question, known, scope)
        for lease in scope.leases:
            if (admission := self._decide_with(lease, question, known, scope)) is not None:
                return admission
        return None

    def _decide_freely(self, question: Question, known: KnownRules, scope: Scope) -> Admission | None:
        if not self._is_current(known):
            return None
        scope.used_at = self._clock()
        decision = decide(question, known.rules, Funds(ceiling=known.ceilings, hard=known.hard), self._now())
        return Admission(decision) if _is_certain(question, decision) else None

    def _decide_with(self, lease: Lease, question: Question, known: KnownRules, scope: Scope) -> Admission | None:
        now = self._clock()
        if lease.draining or now >= lease.expires_at:
            return None
        funds = Funds(left=lease.available(), ceiling=known.ceilings, hard=known.hard)
        decision = decide(question, known.rules, funds, self._now())
        if (
            decision.code in _MONEY_IS_SHORT  # here; the collector may have more
            or decision.verdict is _WAIT
            or not _is_certain(question, decision)
        ):
            return None
        if not decision.goes_ahead:
            return Admission(decision)
        card = known.cards.get((question.provider, decision.model, question.service_tier))
        hold = lease.take(decision.holds, card, now)
        if hold is None:
            return None
        scope.used_at, scope.last = now, question
        if lease.is_low and not scope.is_tight:
            self._low(scope)
        return Admission(decision, hold)

    def _is_current(self, known: KnownRules) -> bool:
        return self._clock() - known.checked_at < _AFRESH_SECONDS or self._is_heard_of(known.organisation)

    def known(self, question: Question) -> KnownRules | None:
        """Find what is known of the rules of a call; they may be stale."""
        return self._rules.get(self.rules_key(question))

    def rules_key(self, question: Question) -> RulesKey:
        """Name the rules that a call is under."""
        whose = question.attribution
        decides = whose.department is None and whose.organisation in self._by_employee
        return whose.organisation, whose.department, whose.employee if decides else None

    def usable(self, question: Question) -> KnownRules | None:
        """Find the rules by which a call is decided now."""
        known = self.known(question)
        return None if known is None or known.stale else known

    def learn(self, question: Question, answer: Answer, asked_at: float) -> Scope:
        """Take over rules and prices that an answer brings; gives the scope of the call. With the lock."""
        if answer.rules is not None and question.attribution.department is None:
            change = self._by_employee.add if answer.rules.by_employee else self._by_employee.discard
            change(question.attribution.organisation)
        key = self.rules_key(question)
        known = self._rules.get(key)
        if answer.rules is not None and (known is None or known.stale or known.version != answer.rules.version):
            if key not in self._rules and len(self._rules) >= _MOST_SCOPES:
                self._forget_employees()
            known = self._rules[key] = self._same(answer.rules) or KnownRules(answer.rules, question, asked_at)
        assert known is not None  # who knows no rules is sent them
        known.learn(answer.rules, question, answer.card, asked_at)
        scope = self.scope(known, question)
        scope.used_at, scope.last = asked_at, question
        scope.is_free = answer.lease is None and answer.decision.goes_ahead
        scope.judge(answer.decision, answer.lease)
        return scope

    def scope(self, known: KnownRules, question: Question) -> Scope:
        """Find the scope of a call, or begin it. With the lock."""
        key = known.scope_key(question.attribution)
        scope = self._scopes.get(key)
        if scope is None or scope.known is not known:
            if len(self._scopes) >= _MOST_SCOPES:
                self._forget_scopes()
            scope = self._scopes[key] = Scope(known, used_at=self._clock())
        return scope

    def find_scope(self, question: Question) -> Scope | None:
        """Find the scope of a call, if it is known."""
        known = self.usable(question)
        return None if known is None else self._scopes.get(known.scope_key(question.attribution))

    def drop(self, is_meant: Callable[[KnownRules], bool]) -> tuple[list[Lease], list[Pending]]:
        """Make rules stale; gives the leases under them, and the calls that wait for money. With the lock."""
        leases: list[Lease] = []
        woken: list[Pending] = []
        for known in self._rules.values():
            if not known.stale and is_meant(known):
                known.stale = True
        for key, scope in list(self._scopes.items()):
            if scope.known.stale:
                del self._scopes[key]
                leases += scope.leases
                woken += scope.sleeping
                scope.sleeping.clear()
        return leases, woken

    def _same(self, told: RulesTold) -> KnownRules | None:
        """Find rules that another employee of the department brought."""
        wanted = told.organisation, told.department, told.version
        found = (known for key, known in self._rules.items() if told.by_employee and key[2] is not None)
        return next(
            (it for it in found if not it.stale and (it.organisation, it.department, it.version) == wanted), None
        )

    def _forget_employees(self) -> None:
        """Keep each department's rules once; whose they are is asked again."""
        once = {id(known): key for key, known in self._rules.items()}
        self._rules = {key: known for key, known in self._rules.items() if once[id(known)] == key}

    def _forget_scopes(self) -> None:
        for key, scope in list(self._scopes.items()):
            if not (scope.leases or scope.queue or scope.sleeping or scope.asking):
                del self._scopes[key]


def _is_certain(question: Question, decision: Decision) -> bool:
    """Tell whether prices of all models that were looked at are here: at gateways and in regions they have other names."""
    if not question.any_provider and question.provider != "aws.bedrock":
        return True
    return decision.goes_ahead and decision.model == question.model
