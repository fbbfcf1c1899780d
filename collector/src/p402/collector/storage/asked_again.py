"""Questions that are asked again with their ``Idempotency-Key``.

The answer is the same for as long as it holds money for the call. What holds nothing is decided afresh, and the key goes
over to the new decision: a refusal, a call that needed no hold, one whose hold has expired or was given back, and one that
was charged, since whoever asks again is about to make another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from p402.collector.budgets.budget import BudgetSet
from p402.collector.storage.decision_rows import Decided, decision_by_idempotency_key
from p402.collector.storage.driver import Driver
from p402.collector.storage.leases import LeaseState, holds_of, lease_by_id
from p402.decisions import Measure, Question
from p402.vocabulary import Permanent

__all__ = ["IdempotencyKeyReused", "StillHeld", "asked_before", "let_go_of_key", "still_held"]


class IdempotencyKeyReused(Permanent):
    """The key was sent with another question before."""


class StillHeld(NamedTuple):
    """What a decision holds for a call that has not been charged."""

    amounts: Mapping[Measure, int]
    expires_at: datetime


def asked_before(
    sql: Driver, key_id: str, idempotency_key: str, question: Question, *, department_is_given: bool
) -> Decided | None:
    """Find what was decided when the same was asked before.

    Args:
        sql: of the change this is part of.
        key_id: of who asks.
        idempotency_key: theirs.
        question: as it is recorded.
        department_is_given: whether nobody said its department, so that it may have been another.

    Raises:
        IdempotencyKeyReused: if it was not the same.
    """
    found = decision_by_idempotency_key(sql, key_id, idempotency_key)
    if found is None:
        return None
    was = Question.from_wire(found.question)
    if department_is_given:
        was = replace(was, attribution=replace(was.attribution, department=question.attribution.department))
    if was != question:
        raise IdempotencyKeyReused(
            f"This Idempotency-Key was sent with another question, which {found.id} decides. Send the same question, or"
            " another key."
        )
    return found


def still_held(sql: Driver, decided: Decided, budgets: BudgetSet, at: datetime) -> StillHeld | None:
    """Give what a decision holds; None if it holds nothing, or not for a call that is still to be made."""
    lease = None if decided.lease_id is None else lease_by_id(sql, decided.lease_id)
    if lease is None or lease.state is not LeaseState.OPEN or lease.expires_at <= at:
        return None  # the first charge closes the hold of a single call, so an open one has had none
    amounts: dict[Measure, int] = {}
    for budget_id, hold in holds_of(sql, lease.id).items():
        if (measure := budgets.measure_of(budget_id)) is not None:
            amounts[measure] = min(hold.remaining, amounts.get(measure, hold.remaining))
    return StillHeld(amounts, lease.expires_at)


def let_go_of_key(sql: Driver, decided: Decided) -> None:
    """Free the key of a decision for the one that takes its place."""
    sql.execute("UPDATE decisions SET idempotency_key = NULL WHERE id = ?", (decided.id,))
