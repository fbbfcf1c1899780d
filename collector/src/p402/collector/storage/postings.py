"""Posts charges to the budgets on their path, in the transaction that records them.

Facts are always posted. A charge under a lease takes its money out of the lease's hold, in the period in which it was
held; what is spent beyond a cap all the same is listed as an overrun, with the reason:

* ``no_hold``: nothing was held for the call;
* ``beyond_hold``: the call took more than was held for it;
* ``released``: what was held for it had been let go of before it came;
* ``cap_lowered``: it was held, but calls without a hold, or a lowered cap, have taken its room.

Where several report a call, the lease may be named only after the charge was posted without it. Then the charge stays
where it is, and what it took is taken out of the lease's hold, so that it does not count twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

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
from p402.vocabulary import Attribution, Level

__all__ = ["LateReport", "Postings"]

_OVERRUN = (
    "INSERT INTO overruns (budget_id, node, period_start, span_key, amount, reason, recorded_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_CHARGED = (
    "SELECT cost_nano_usd, input_tokens, output_tokens, organisation, department, project, client, employee, session"
    " FROM charges JOIN scopes ON scopes.id = scope_id WHERE charges.seq = ? AND organisation = ?"
)


class LateReport(NamedTuple):
    """A report of a call that was charged before, by the same sender."""

    call: Recordable
    charge_seq: int
    agrees: bool
    """Whether it says what was charged."""


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
            for on in _counting(known, call.charge.attribution):
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

    def take_out_of_leases(self, sql: Driver, reports: Sequence[LateReport], at: datetime) -> None:
        """Take charges out of the leases that later reports of their calls name, each charge out of one, once.

        Whoever contradicts what was charged frees no more than that: its lease still waits for the call.
        """
        for call, charge_seq, agrees in reports:
            lease = self._lease_of(sql, call)
            if lease is None:
                continue
            single = lease.kind is not LeaseKind.LEASE
            if single and lease.calls:
                continue
            named = sql.execute(
                "UPDATE charges SET lease_id = ? WHERE seq = ? AND lease_id IS NULL", (lease.id, charge_seq)
            )
            if not (first := named.rowcount == 1) and not (single and agrees):
                continue
            holds = holds_of(sql, lease.id)
            if first:
                self._take_out(sql, charge_seq, lease, holds, at)
            self._used(sql, lease, holds, at, come=agrees)

    def _take_out(self, sql: Driver, charge_seq: int, lease: Lease, holds: Mapping[int, Hold], at: datetime) -> None:
        row = sql.execute(_CHARGED, (charge_seq, lease.organisation)).fetchone()
        if row is None:
            return  # another organisation's budgets have counted it
        amounts, whose = _amounts(*row[:3]), Attribution(*(level or None for level in row[3:]))
        changes: dict[AccountKey, Change] = defaultdict(Change)
        for on in _counting(self._rules.of(sql, lease.organisation, at), whose):
            if (hold := holds.get(on.budget.id)) is not None and hold.node == on.node:
                _take(changes, on, hold, lease, amounts[on.budget.measure])
        change_accounts(sql, changes)

    def _budgets_of(self, sql: Driver, calls: Sequence[Recordable], at: datetime) -> Mapping[str, BudgetSet]:
        return {name: self._rules.of(sql, name, at) for name in {_organisation(call) for call in calls}}

    def _post(
        self, sql: Driver, call: Recordable, budgets: BudgetSet, changes: dict[AccountKey, Change], at: datetime
    ) -> list[_Posting]:
        charge = call.charge
        lease = self._lease_of(sql, call)
        holds = {} if lease is None else holds_of(sql, lease.id)
        usage, cost = charge.usage, charge.cost
        amounts = _amounts(None if cost is None else cost.nano_usd, usage.input_tokens, usage.output_tokens)
        postings = []
        for on in _counting(budgets, charge.attribution):
            amount, hold = amounts[on.budget.measure], holds.get(on.budget.id)
            if lease is None or hold is None or hold.node != on.node:
                postings.append(
                    _Posting(on, on.budget.period.account(charge.started_at), amount, "no_hold", call.span.key)
                )
                continue
            taken = _take(changes, on, hold, lease, amount)
            start = on.budget.period.account(charge.started_at) if hold.period_start == HELD else hold.period_start
            postings.append(_Posting(on, start, amount, _reason(lease, taken, amount), call.span.key))
        if lease is not None:
            self._used(sql, lease, holds, at, come=True)
        return postings

    @staticmethod
    def _lease_of(sql: Driver, call: Recordable) -> Lease | None:
        """Find the lease that a span names, if it is the sender's own."""
        lease = lease_by_id(sql, call.lease_id) if call.lease_id else None
        mine = lease is not None and lease.key_id == (call.key_id or "") and lease.organisation == _organisation(call)
        return lease if mine else None

    @staticmethod
    def _used(sql: Driver, lease: Lease, holds: Mapping[int, Hold], at: datetime, *, come: bool) -> None:
        """Write what a charge has left of a lease, and whether it is the one of a call under it."""
        rows = [(hold.remaining, lease.id, budget_id) for budget_id, hold in holds.items()]
        if rows:
            sql.executemany("UPDATE lease_holds SET remaining = ? WHERE lease_id = ? AND budget_id = ?", rows)
        values = (int(come), to_millis(at), lease.id)
        sql.execute("UPDATE leases SET calls = calls + ?, changed_at = ? WHERE id = ?", values)
        if come and lease.kind is not LeaseKind.LEASE:  # one call, and here it is
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


def _counting(budgets: BudgetSet, attribution: Attribution) -> list[OnPath]:
    """Give the budgets on a charge's path that have accounts for what is spent."""
    return [
        on
        for on in budgets.on_path(attribution)
        if on.budget.level is not Level.REQUEST and on.budget.measure is not Measure.CONCURRENCY
    ]


def _amounts(cost: int | None, input_tokens: int, output_tokens: int) -> dict[Measure, int]:
    return {Measure.COST: cost or 0, Measure.TOKENS: max(input_tokens, 0) + max(output_tokens, 0), Measure.REQUESTS: 1}


def _reason(lease: Lease, taken: int, amount: int) -> str:
    if taken == amount:
        return "cap_lowered"
    return "released" if lease.state is LeaseState.CLOSED else "beyond_hold"


def _take(changes: dict[AccountKey, Change], on: OnPath, hold: Hold, lease: Lease, amount: int) -> int:
    """Take a charge out of a hold, as far as it goes; gives how far."""
    taken = min(hold.remaining, amount)
    hold.remaining -= taken
    change = changes[on.budget.id, on.node, hold.period_start]
    if lease.state is LeaseState.UNRECONCILED:
        change.unreconciled -= taken
    else:
        change.held -= taken
    return taken
