"""Posts charges to the budgets on their path, in the transaction that records them.

Facts are always posted. A charge under a lease takes its money out of the lease's hold, in the period in which it was
held; what is spent beyond a cap all the same is listed as an overrun, with the reason:

* ``no_hold``: nothing was held for the call;
* ``beyond_hold``: the call took more than was held for it;
* ``released``: what was held for it had been let go of before it came;
* ``cap_lowered``: it was held, but calls without a hold, or a lowered cap, have taken its room.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from p402.collector.budgets.alerts import Crossing
from p402.collector.budgets.budget import BudgetSet, OnPath
from p402.collector.budgets.path import AccountKey
from p402.collector.budgets.period import HELD
from p402.collector.pipeline.records import Recordable
from p402.collector.storage.account_memory import Change
from p402.collector.storage.accounts import balance_of, change_accounts, open_account
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import Driver
from p402.collector.storage.leases import Hold, Lease, LeaseKind, LeaseState, holds_of, lease_by_id, release
from p402.decisions import Measure, Mode
from p402.vocabulary import Charge, Level

__all__ = ["Postings"]

_OVERRUN = (
    "INSERT INTO overruns (budget_id, node, period_start, span_key, amount, reason, recorded_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(slots=True)
class _Posting:
    """What one charge adds to one account."""

    on: OnPath
    start: int
    amount: int
    reason: str
    """Why the charge is an overrun, should it be one."""
    span_key: bytes


class Postings:
    """Posts charges; used by the writer only."""

    def __init__(self, rules: BudgetRules, on_overrun: Callable[[str], None] = lambda _: None) -> None:
        self._rules = rules
        self._on_overrun = on_overrun

    def prepare(self, sql: Driver, calls: Sequence[Recordable], at: datetime) -> None:
        """Open the accounts of charges; to be called before these are recorded: an account begins with what was before."""
        budgets = self._budgets_of(sql, calls, at)
        opened: set[AccountKey] = set()
        for call in calls:
            if not (known := budgets[_organisation(call)]).budgets:
                continue
            for on in _counting(known, call.charge):
                start = on.budget.period.account(call.charge.started_at)
                if (key := (on.budget.id, on.node, start)) not in opened:
                    open_account(sql, on, start, at)
                    opened.add(key)

    def post(self, sql: Driver, calls: Sequence[Recordable], at: datetime) -> list[Crossing]:
        """Post charges that were prepared and then recorded; gives the thresholds that they passed."""
        budgets = self._budgets_of(sql, calls, at)
        changes: dict[AccountKey, Change] = defaultdict(Change)
        posted: dict[tuple[int, str, int | None], list[_Posting]] = defaultdict(list)
        for call in calls:
            if budgets[_organisation(call)].budgets or call.lease_id:
                for posting in self._post(sql, call, budgets[_organisation(call)], changes, at):
                    budget = posting.on.budget
                    changes[budget.id, posting.on.node, posting.start].spent += posting.amount
                    period = None if budget.period.rolls else posting.start
                    posted[budget.id, posting.on.node, period].append(posting)
        change_accounts(sql, changes)
        return [crossing for postings in posted.values() for crossing in self._look_at(sql, postings, at)]

    def _budgets_of(self, sql: Driver, calls: Sequence[Recordable], at: datetime) -> Mapping[str, BudgetSet]:
        return {name: self._rules.of(sql, name, at) for name in {_organisation(call) for call in calls}}

    def _post(
        self, sql: Driver, call: Recordable, budgets: BudgetSet, changes: dict[AccountKey, Change], at: datetime
    ) -> list[_Posting]:
        charge = call.charge
        lease = self._lease_of(sql, call)
        holds = {} if lease is None else holds_of(sql, lease.id)
        amounts = _amounts(charge)
        postings = []
        for on in _counting(budgets, charge):
            amount, hold = amounts[on.budget.measure], holds.get(on.budget.id)
            if lease is None or hold is None or hold.node != on.node:
                postings.append(
                    _Posting(on, on.budget.period.account(charge.started_at), amount, "no_hold", call.span.key)
                )
                continue
            taken = min(hold.remaining, amount)
            _take(changes[on.budget.id, on.node, hold.period_start], lease, taken)
            hold.remaining -= taken
            start = on.budget.period.account(charge.started_at) if hold.period_start == HELD else hold.period_start
            postings.append(_Posting(on, start, amount, _reason(lease, taken, amount), call.span.key))
        if lease is not None:
            self._used(sql, lease, holds, at)
        return postings

    @staticmethod
    def _lease_of(sql: Driver, call: Recordable) -> Lease | None:
        """Find the lease that a span names, if it is the sender's own."""
        lease = lease_by_id(sql, call.lease_id) if call.lease_id else None
        mine = lease is not None and lease.key_id == (call.key_id or "") and lease.organisation == _organisation(call)
        return lease if mine else None

    @staticmethod
    def _used(sql: Driver, lease: Lease, holds: dict[int, Hold], at: datetime) -> None:
        rows = [(hold.remaining, lease.id, budget_id) for budget_id, hold in holds.items()]
        if rows:
            sql.executemany("UPDATE lease_holds SET remaining = ? WHERE lease_id = ? AND budget_id = ?", rows)
        sql.execute("UPDATE leases SET calls = calls + 1, changed_at = ? WHERE id = ?", (to_millis(at), lease.id))
        if lease.kind is not LeaseKind.LEASE:  # one call, and here it is
            release(sql, lease, {}, at)

    def _look_at(self, sql: Driver, postings: Sequence[_Posting], at: datetime) -> list[Crossing]:
        """List what passes the cap of one account; gives the thresholds that were passed."""
        on, start = postings[0].on, postings[0].start
        budget = on.budget
        if budget.period.rolls:
            since = budget.period.accounts_since(at)
            postings = [posting for posting in postings if posting.start >= since]
        spent = balance_of(sql, on, at if budget.period.rolls else from_millis(max(start, 0))).spent
        cap = budget.cap_at(at)
        added = sum(posting.amount for posting in postings)
        crossed = [
            Crossing(budget, on.node, start, percent, spent, cap)
            for percent in budget.warn_at
            if (spent - added) * 100 < cap * percent <= spent * 100
        ]
        if budget.mode is Mode.OBSERVE:
            return crossed
        for posting in reversed(postings):
            if (beyond := min(spent - cap, posting.amount)) > 0:
                key = (budget.id, on.node, posting.start)
                sql.execute(_OVERRUN, (*key, posting.span_key, beyond, posting.reason, to_millis(at)))
                self._on_overrun(posting.reason)
            spent -= posting.amount
        return crossed


def _organisation(call: Recordable) -> str:
    return call.charge.attribution.organisation or ""


def _counting(budgets: BudgetSet, charge: Charge) -> list[OnPath]:
    """Give the budgets on a charge's path that have accounts for what is spent."""
    return [
        on
        for on in budgets.on_path(charge.attribution)
        if on.budget.level is not Level.REQUEST and on.budget.measure is not Measure.CONCURRENCY
    ]


def _amounts(charge: Charge) -> dict[Measure, int]:
    tokens = max(charge.usage.input_tokens, 0) + max(charge.usage.output_tokens, 0)
    cost = charge.cost.nano_usd if charge.cost else 0
    return {Measure.COST: cost, Measure.TOKENS: tokens, Measure.REQUESTS: 1}


def _reason(lease: Lease, taken: int, amount: int) -> str:
    if taken == amount:
        return "cap_lowered"
    return "released" if lease.state is LeaseState.CLOSED else "beyond_hold"


def _take(change: Change, lease: Lease, amount: int) -> None:
    if lease.state is LeaseState.UNRECONCILED:
        change.unreconciled -= amount
    else:
        change.held -= amount
