"""Posts charges to the budgets on their path, in the transaction that records them.

Facts are always posted. A charge under a lease takes its money out of the lease's hold, in the period in which it was
held; what exceeds a cap all the same is listed as an overrun, with the reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from p402.collector.budgets.budget import Budget, BudgetSet, OnPath
from p402.collector.budgets.period import HELD
from p402.collector.pipeline.records import Recordable
from p402.collector.storage.accounts import AccountKey, Change, balance_of, change_accounts, open_account
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import Driver
from p402.collector.storage.leases import Hold, Lease, LeaseKind, LeaseState, holds_of, lease_by_id, release
from p402.decisions import Measure, Mode
from p402.vocabulary import Charge, Level

__all__ = ["Crossing", "OnCrossing", "Postings"]

_OVERRUN = (
    "INSERT INTO overruns (budget_id, node, period_start, span_key, amount, reason, recorded_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Crossing:
    """An account has passed a threshold of its cap."""

    budget: Budget
    node: str
    period_start: int
    percent: int
    spent: int
    cap: int


OnCrossing = Callable[[Driver, Crossing, datetime], None]
"""Called inside the change; raises an alert."""


@dataclass(slots=True)
class _Posting:
    """What one charge adds to one account."""

    on: OnPath
    amount: int
    uncovered: int
    """What no hold covered."""
    had_hold: bool
    span_key: bytes


class Postings:
    """Posts charges; used by the writer only."""

    def __init__(self, rules: BudgetRules, on_crossing: OnCrossing | None = None) -> None:
        self._rules = rules
        self._on_crossing = on_crossing

    def post(self, sql: Driver, calls: Sequence[Recordable], at: datetime) -> None:
        """Post new charges; to be called before they are added to the hourly counters."""
        changes: dict[AccountKey, Change] = defaultdict(Change)
        posted: dict[AccountKey, list[_Posting]] = defaultdict(list)
        for call in calls:
            budgets = self._rules.of(sql, call.charge.attribution.organisation or "", at)
            if budgets.budgets or call.lease_id:
                self._post(sql, call, budgets, changes, posted, at)
        change_accounts(sql, changes)
        for key, postings in posted.items():
            self._look_at(sql, key, postings, at)

    def _post(
        self,
        sql: Driver,
        call: Recordable,
        budgets: BudgetSet,
        changes: dict[AccountKey, Change],
        posted: dict[AccountKey, list[_Posting]],
        at: datetime,
    ) -> None:
        charge = call.charge
        lease = self._lease_of(sql, call)
        holds = {} if lease is None else holds_of(sql, lease.id)
        amounts = _amounts(charge)
        covered: dict[int, int] = {}
        for budget_id, hold in holds.items():
            measure = budgets.measure_of(budget_id)
            taken = min(hold.remaining, amounts[measure] if measure else 0)
            covered[budget_id] = taken
            _take(changes[budget_id, hold.node, hold.period_start], lease, taken)
            hold.remaining -= taken
        for on in budgets.on_path(charge.attribution):
            budget = on.budget
            if budget.level is Level.REQUEST or budget.measure is Measure.CONCURRENCY:
                continue
            start = _account(budget, holds.get(budget.id), charge)
            open_account(sql, on, start)
            key = (budget.id, on.node, start)
            amount = amounts[budget.measure]
            changes[key].spent += amount
            posted[key].append(
                _Posting(on, amount, amount - covered.get(budget.id, 0), budget.id in holds, call.span.key)
            )
        if lease is not None:
            self._used(sql, lease, holds, at)

    @staticmethod
    def _lease_of(sql: Driver, call: Recordable) -> Lease | None:
        """Find the lease that a span names, if it is the sender's own."""
        lease = lease_by_id(sql, call.lease_id) if call.lease_id else None
        organisation = call.charge.attribution.organisation
        mine = lease is not None and lease.key_id == (call.key_id or "") and lease.organisation == organisation
        return lease if mine else None

    @staticmethod
    def _used(sql: Driver, lease: Lease, holds: dict[int, Hold], at: datetime) -> None:
        rows = [(hold.remaining, lease.id, budget_id) for budget_id, hold in holds.items()]
        if rows:
            sql.executemany("UPDATE lease_holds SET remaining = ? WHERE lease_id = ? AND budget_id = ?", rows)
        sql.execute("UPDATE leases SET calls = calls + 1, changed_at = ? WHERE id = ?", (to_millis(at), lease.id))
        if lease.kind is not LeaseKind.LEASE:  # one call, and here it is
            release(sql, lease, {}, at)

    def _look_at(self, sql: Driver, key: AccountKey, postings: Sequence[_Posting], at: datetime) -> None:
        """List what passes the cap, and raise what passes a threshold."""
        on = postings[0].on
        budget, (_, node, start) = on.budget, key
        when = at if budget.period.rolls else from_millis(max(start, 0))
        balance = balance_of(sql, on, when)
        cap = budget.cap_at(at)
        added = sum(posting.amount for posting in postings)
        if self._on_crossing is not None and cap:
            for percent in budget.warn_at:
                if (balance.spent - added) * 100 < cap * percent <= balance.spent * 100:
                    self._on_crossing(sql, Crossing(budget, node, start, percent, balance.spent, cap), at)
        excess = balance.spent + balance.unreconciled - cap
        if budget.mode is Mode.OBSERVE:
            return
        for posting in reversed(postings):
            beyond = min(excess, posting.amount)
            if beyond <= 0:
                return
            reason = "no_hold" if not posting.had_hold else "beyond_hold" if posting.uncovered > 0 else "cap_lowered"
            sql.execute(_OVERRUN, (budget.id, node, start, posting.span_key, beyond, reason, to_millis(at)))
            excess -= beyond


def _amounts(charge: Charge) -> dict[Measure, int]:
    tokens = max(charge.usage.input_tokens, 0) + max(charge.usage.output_tokens, 0)
    cost = charge.cost.nano_usd if charge.cost else 0
    return {Measure.COST: cost, Measure.TOKENS: tokens, Measure.REQUESTS: 1, Measure.CONCURRENCY: 0}


def _account(budget: Budget, hold: Hold | None, charge: Charge) -> int:
    """Give the account that a charge is spent from: that of its hold, else that of the moment when the call began."""
    if hold is not None and hold.period_start != HELD:
        return hold.period_start
    return budget.period.account(charge.started_at)


def _take(change: Change, lease: Lease | None, amount: int) -> None:
    if lease is not None and lease.state is LeaseState.UNRECONCILED:
        change.unreconciled -= amount
    else:
        change.held -= amount
