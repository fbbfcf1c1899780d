"""What policies would have made of the calls in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from p402.collector.api.policy_views import JudgedPeriod, history_view
from p402.collector.pricing import PriceBook
from p402.collector.routing.history import replayed
from p402.collector.routing.schema import PolicyDefinition, policy_of_definition
from p402.collector.storage.charges import charges_between
from p402.collector.storage.policies import policy_of
from p402.decisions import Catalogue, Policy
from p402.vocabulary import Attribution, Charge

__all__ = ["judged", "policies_in_force"]

_MOST_CHARGES = 100_000  # that one test looks at


def judged(
    connection: Connection,
    within: Attribution,
    period: tuple[datetime, datetime],
    policy_for: Callable[[str | None], Policy],
    catalogue: Catalogue,
    prices: PriceBook,
    only: Callable[[Charge], bool] = lambda _: True,
) -> JudgedPeriod:
    """Run the calls of a period through policies, as if these were enforced; nothing is changed.

    Args:
        connection: where to read.
        within: whose calls.
        period: in which they began; its end is not included.
        policy_for: gives the policy of a department.
        catalogue: of models.
        prices: of the calls as they would have been.
        only: which of the calls.
    """
    found = charges_between(connection, within, *period, _MOST_CHARGES + 1)
    looked_at = {seq: charge for seq, charge in found[:_MOST_CHARGES] if only(charge)}
    return history_view(replayed(looked_at, policy_for, catalogue, prices), complete=len(found) <= _MOST_CHARGES)


def policies_in_force(
    connection: Connection, organisation: str, proposed: PolicyDefinition | None
) -> Callable[[str | None], Policy]:
    """Give the policy of each department: the proposed one, else what is in force, read once."""
    if proposed is not None:
        policy = policy_of_definition(proposed, "proposed", 0)
        return lambda _: policy
    known: dict[str | None, Policy] = {}

    def of(department: str | None) -> Policy:
        if department not in known:
            known[department] = policy_of(connection, organisation, department)
        return known[department]

    return of
