"""What was decided about calls, counted by day.

A call that went ahead has its verdict on its charge, whoever decided: the collector, or the service on a lease. What was
refused, or told to wait, is among the decisions: those of the collector, and the refusals that services report.
"""

from __future__ import annotations

import json
from collections import defaultdict

from sqlalchemy import ColumnElement, Connection, func, select

from p402.collector.storage.budget_tables import decisions
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.usage import usage_by
from p402.collector.usage.slices import Dimension, Slice
from p402.decisions import Verdict

__all__ = ["UNASKED", "verdicts_by_day"]

UNASKED = ""
"""Stands for calls about which nobody was asked."""

_DAY = 86_400_000  # milliseconds
_STOPPED = (Verdict.BLOCK.value, Verdict.WAIT.value)


def verdicts_by_day(connection: Connection, of: Slice) -> dict[int, dict[str, int]]:
    """Count the calls of a slice by verdict, for each day since 1970 (UTC) that has any.

    What is refused or waits has the model that was asked for, and a service that refuses by itself does not report for what
    type of task.
    """
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for one in usage_by(connection, of, [Dimension.DAY, Dimension.VERDICT]):
        day, verdict = one.by
        found[int(day)][str(verdict)] = one.charges
    decided = decisions.c.decided_at // _DAY
    stopped = (
        select(decided, decisions.c.verdict, func.count())
        .where(decisions.c.organisation == of.organisation, decisions.c.verdict.in_(_STOPPED))
        .where(decisions.c.decided_at >= to_millis(of.period.begin), decisions.c.decided_at < to_millis(of.period.end))
        .where(*(_asked(connection, dimension, value) for dimension, value in of.only.items()))
        .group_by(decided, decisions.c.verdict)
    )
    for number, name, count in connection.execute(stopped):
        found[int(number)][str(name)] = int(count)
    return dict(found)


def _asked(connection: Connection, dimension: Dimension, value: str) -> ColumnElement[bool]:
    """Look for a member of the question, which is JSON with sorted names as `json` writes it."""
    member = f'"{dimension.value}": '
    found = func.instr if connection.dialect.name == "sqlite" else func.strpos
    if value == "":
        return found(decisions.c.question, member) == 0
    return found(decisions.c.question, member + json.dumps(value)) > 0
