"""What a cap would have done to the calls in the ledger: read node by node, and run past it by `budgets.trial`.

First every node's sum is taken; only the calls of those whose sum is above the cap are read one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from p402.collector.budgets.budget import Budget
from p402.collector.budgets.trial import Trial, tried, tried_each
from p402.collector.storage.accounts import AMOUNT_OF_CHARGE
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.driver import Driver
from p402.decisions import Measure
from p402.vocabulary import Level

__all__ = ["TriedPeriod", "periods_tried", "trial_in"]

_MOST_CALLS = 200_000  # that one trial reads one by one
_MOST_NODES = 200
_SHORTEST = timedelta(days=7)  # that a rolling period is looked at for
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class TriedPeriod:
    """What would have been in one period."""

    begin: datetime
    end: datetime
    """Not included; of the present period, now."""
    over: bool
    """Whether the period is complete."""
    nodes: int
    """How many had calls."""
    calls: int
    amount: int
    """Of all of them."""
    tried: Sequence[tuple[str, Trial]]
    """The nodes that took the most, the most refused first."""
    not_tried: int
    """Nodes that could have come to the cap, but whose calls were not looked at, because there are too many."""
    complete: bool
    """Whether all calls were looked at; else only the earliest."""

    @property
    def refused(self) -> int:
        """Calls that would not have been made."""
        return sum(trial.refused for _, trial in self.tried)

    @property
    def refused_amount(self) -> int:
        """What these took."""
        return sum(trial.refused_amount for _, trial in self.tried)

    @property
    def nodes_refused(self) -> int:
        """How many nodes would have come to the cap."""
        return sum(trial.refused > 0 for _, trial in self.tried)


def periods_tried(budget: Budget, now: datetime) -> list[tuple[datetime, datetime, bool]]:
    """Give the periods to look at, each with its begin, its end and whether it is complete: the last one, and the present."""
    if budget.measure is Measure.CONCURRENCY:
        return []
    if budget.period.length is not None:
        return [(now - max(_SHORTEST, budget.period.length), now, False)]
    window = budget.period.window(now)
    if window.end is None:
        return [(window.start, now, False)]
    last = budget.period.window(window.start - _MILLISECOND)
    return [(last.start, window.start, True), (window.start, now, False)]


def trial_in(sql: Driver, budget: Budget, begin: datetime, end: datetime, *, over: bool) -> TriedPeriod:
    """Run the calls that began in a period past a budget's cap, without its overrides.

    Args:
        sql: where to read.
        budget: with the cap to try; it need not be in force.
        begin: of the period.
        end: of the period, not included.
        over: whether the period is complete.
    """
    length = budget.period.length
    span = to_millis(begin), to_millis(end)
    totals = _totals(sql, budget, span)
    rolling = length is not None or budget.level is Level.REQUEST
    since = span[0] if length is None else to_millis(begin - length)
    # What is below the cap as a sum is not refused; in a rolling period and of single calls the sum does not tell.
    in_question = [node for node, (_, amount) in totals.items() if rolling or amount > budget.cap]
    looked_at = in_question[:_MOST_NODES]
    calls, complete = _calls(sql, budget, looked_at, (since, span[1]))
    found = []
    for node in looked_at:
        if budget.level is Level.REQUEST:
            found.append((node, tried_each(calls[node], budget.cap)))
        else:
            found.append((node, tried(calls[node], budget.cap, _millis(length), span[0])))
    left = [node for node in totals if node not in looked_at] if not rolling else []
    found += [(node, Trial(totals[node][0], totals[node][1], totals[node][1])) for node in left[:_MOST_NODES]]
    found.sort(key=lambda one: (-one[1].refused_amount, -one[1].most, one[0]))
    return TriedPeriod(
        begin=begin,
        end=end,
        over=over,
        nodes=len(totals),
        calls=sum(count for count, _ in totals.values()),
        amount=sum(amount for _, amount in totals.values()),
        tried=found,
        not_tried=len(in_question) - len(looked_at),
        complete=complete,
    )


def _totals(sql: Driver, budget: Budget, span: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Count and sum the calls of each node, the most used first."""
    node, where, values = _which(budget)
    rows = sql.execute(
        f"SELECT {node}, COUNT(*), SUM({AMOUNT_OF_CHARGE[budget.measure]}) AS amount"
        f" FROM charges JOIN scopes ON scopes.id = charges.scope_id WHERE {where}"
        f" AND charges.started_at >= ? AND charges.started_at < ? GROUP BY {node} ORDER BY amount DESC",
        (*values, *span),
    ).fetchall()
    return {str(name): (int(count), int(amount)) for name, count, amount in rows}


def _calls(
    sql: Driver, budget: Budget, nodes: Sequence[str], span: tuple[int, int]
) -> tuple[dict[str, list[tuple[int, int]]], bool]:
    """Read the calls of some nodes in the order in which they began; tells whether these are all."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    if not nodes:
        return found, True
    node, where, values = _which(budget)
    rows = sql.execute(
        f"SELECT {node}, charges.started_at, {AMOUNT_OF_CHARGE[budget.measure]}"
        f" FROM charges JOIN scopes ON scopes.id = charges.scope_id WHERE {where}"
        f" AND charges.started_at >= ? AND charges.started_at < ? AND {node} IN ({', '.join('?' * len(nodes))})"
        " ORDER BY charges.started_at, charges.seq LIMIT ?",
        (*values, *span, *nodes, _MOST_CALLS + 1),
    ).fetchall()
    for name, at, amount in rows[:_MOST_CALLS]:
        found[str(name)].append((int(at), int(amount)))
    return found, len(rows) <= _MOST_CALLS


def _which(budget: Budget) -> tuple[str, str, tuple[str, ...]]:
    """Give the column of the node, the conditions on the calls that a budget counts, and their values."""
    level = Level.ORGANISATION if budget.level is Level.REQUEST else budget.level
    nodes = [(Level.ORGANISATION, budget.organisation)]
    nodes += [(of, value) for of, value in budget.within if value is not None]
    if budget.node is not None:
        nodes.append((level, budget.node))
    column = f"scopes.{level.value}"
    where = " AND ".join([*(f"scopes.{of.value} = ?" for of, _ in nodes), f"{column} <> ''"])
    return column, where, tuple(value for _, value in nodes)


def _millis(length: timedelta | None) -> int | None:
    return None if length is None else length // _MILLISECOND
