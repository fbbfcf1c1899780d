"""Budgets and what belongs to them as the API takes and shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel, StringConstraints

from p402.collector.api.auth import Principal
from p402.collector.api.problem import BadRequest, Forbidden
from p402.collector.budgets.budget import Balance, Budget
from p402.collector.budgets.definition import BudgetDefinition, read_definition, show_amount
from p402.collector.storage.budgets import BudgetChange, StoredBudget
from p402.decisions import Measure
from p402.vocabulary import Level, rfc3339

__all__ = [
    "ApplyBody",
    "BudgetBody",
    "OverrideBody",
    "ReasonBody",
    "balance_view",
    "budget_view",
    "change_view",
    "cursor",
    "in_part",
    "measure_in",
    "read_budget",
    "within_part",
]

_Line = Annotated[
    str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True, pattern=r"^[^\x00-\x1f]*$")
]
_CURSOR = re.compile(r"(\d{1,19})~(.{0,300})", re.DOTALL)


class BudgetBody(RootModel[dict[str, Any]]):
    """A budget, without its name."""


class ApplyBody(BaseModel):
    """Budgets as they shall be."""

    model_config = ConfigDict(extra="forbid")

    budgets: Annotated[list[dict[str, Any]], Field(max_length=5_000)]
    dry_run: bool = False
    prune: bool = False


class OverrideBody(BaseModel):
    """More than the cap, for a while."""

    model_config = ConfigDict(extra="forbid")

    amount: str
    owner: _Line
    reason: _Line
    expires_at: AwareDatetime


class ReasonBody(BaseModel):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid")

    reason: _Line


def read_budget(document: dict[str, Any], organisation: str, principal: Principal) -> BudgetDefinition:
    """Check a budget that somebody wrote, and that it is theirs to write.

    Raises:
        BudgetInvalid: naming each field that is wrong.
        BadRequest: if it is of another organisation.
        Forbidden: if it is outside of the principal's part of the tree.
    """
    definition = read_definition(document)
    named = [definition.within.get(Level.ORGANISATION, organisation)]
    if definition.level is Level.ORGANISATION and definition.node != "*":
        named.append(definition.node)
    if any(name != organisation for name in named):
        raise BadRequest(
            f"The budget {definition.name!r} cannot be used: node: it is one of {organisation!r}, so that or * is its node."
        )
    if not in_part(principal, definition):
        mine = ", ".join(f"{level}={value}" for level, value in principal.bound_to if value is not None)
        raise Forbidden(
            f"The budget {definition.name!r} is not within {mine}, to which your API key is bound: "
            "name that as its level and node, or in within."
        )
    return definition


def in_part(principal: Principal, definition: BudgetDefinition) -> bool:
    """Tell whether a budget counts only calls of the principal's part of the tree."""
    return all(
        value is None
        or level is Level.ORGANISATION
        or value == definition.within.get(level)
        or (level is definition.level and value == definition.node)
        for level, value in principal.bound_to
    )


def within_part(principal: Principal, attribution: Any) -> bool:
    """Tell whether a call is of the principal's part of the tree."""
    return all(value is None or getattr(attribution, level) == value for level, value in principal.bound_to)


def budget_view(
    stored: StoredBudget, budget: Budget, nodes: Sequence[tuple[str, Balance]], at: datetime
) -> dict[str, Any]:
    """Show a budget with the balances of nodes."""
    measure = budget.measure
    window = budget.period.window(at)
    rolls = budget.period.length
    return {
        **stored.definition.to_json(),
        "cap_in_force": show_amount(measure, budget.cap_at(at)),
        "period_start": rfc3339(at - rolls if rolls else window.start),
        "period_end": None if window.end is None else rfc3339(window.end),
        "made_at": rfc3339(stored.made_at),
        "changed_at": rfc3339(stored.changed_at),
        "overrides": [
            {
                "id": override.id,
                "amount": show_amount(measure, override.amount),
                "owner": override.owner,
                "reason": override.reason,
                "created_at": rfc3339(override.created_at),
                "expires_at": rfc3339(override.expires_at),
            }
            for override in stored.overrides
        ],
        "nodes": [balance_view(node, balance, measure, budget.cap_at(at)) for node, balance in nodes],
    }


def balance_view(node: str, balance: Balance, measure: Measure, cap: int) -> dict[str, Any]:
    """Show what a node has taken of its cap, and what is left."""
    return {
        "node": node,
        "spent": show_amount(measure, balance.spent),
        "held": show_amount(measure, balance.held),
        "unreconciled": show_amount(measure, balance.unreconciled),
        "left": show_amount(measure, max(0, cap - balance.taken)),
    }


def change_view(change: BudgetChange) -> dict[str, Any]:
    """Show what becomes, or would become, of a budget."""
    return {
        "name": change.name,
        "differences": {
            name: {"before": before, "after": after} for name, (before, after) in change.differences.items()
        },
        "fresh_accounts": change.fresh_accounts,
    }


def cursor(request: web.Request) -> tuple[int, str] | None:
    """Read where a list goes on: a number and an id, as ``next_after`` gave them.

    Raises:
        BadRequest: if it is something else.
    """
    text = request.query.get("after")
    if text is None:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None or int(match[1]) >= 2**63:
        raise BadRequest("The query parameter after must be the next_after of the page before.")
    return int(match[1]), match[2]


def measure_in(definition: str) -> Measure:
    """Read from a stored definition what it counts."""
    return Measure(json.loads(definition)["measure"])
