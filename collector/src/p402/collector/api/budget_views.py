"""Budgets and what belongs to them as the API takes and shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, RootModel, StringConstraints
from typing_extensions import TypedDict

from p402.collector.api.auth import Principal
from p402.collector.api.fields import Id, Json, Node, Time, shape
from p402.collector.api.problem import BadRequest, Forbidden
from p402.collector.api.query import BodyTime
from p402.collector.budgets.budget import Balance, Budget
from p402.collector.budgets.definition import BudgetDefinition, amount_of, read_definition, show_amount
from p402.collector.budgets.period import PeriodKind
from p402.collector.storage.budgets import BudgetChange, BudgetChangeKind, StoredBudget, StoredOverride
from p402.decisions import Measure, Mode
from p402.vocabulary import Level, rfc3339

__all__ = [
    "AppliedBudgets",
    "ApplyBody",
    "BudgetBody",
    "BudgetPage",
    "BudgetView",
    "BudgetWithNodes",
    "MadeBudget",
    "OverrideBody",
    "OverrideView",
    "ReasonBody",
    "RetiredBudget",
    "balance_view",
    "budget_view",
    "change_view",
    "in_part",
    "measure_in",
    "read_budget",
    "read_override",
    "within_part",
]

_LONGEST_OVERRIDE = timedelta(days=366)

_Line = Annotated[
    str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True, pattern=r"^[^\x00-\x1f]*$")
]


class BudgetBody(RootModel[dict[str, Any]]):
    """A budget; its name is the path's."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say what `read_budget` takes."""
        whole = handler.resolve_ref_schema(handler(BudgetDefinition.__pydantic_core_schema__))
        return {**whole, "required": ["level", "cap"], "description": cls.__doc__}


class ApplyBody(BaseModel):
    """Budgets as they shall be; each as in `PUT /v1/budgets/{name}`, with its name."""

    model_config = ConfigDict(extra="forbid")

    budgets: Annotated[
        list[dict[str, Any]],
        Field(
            max_length=5_000,
            examples=[[{"name": "legal-month", "level": "department", "node": "legal", "cap": "20000.00"}]],
        ),
    ]
    dry_run: bool = False
    prune: bool = False


class OverrideBody(BaseModel):
    """More than the cap, for a while."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[str, Field(examples=["500.00"])]
    owner: Annotated[_Line, Field(examples=["cfo"])]
    reason: Annotated[_Line, Field(examples=["quarter end"])]
    expires_at: Annotated[BodyTime, Field(examples=["2026-12-01T00:00:00Z"])]


class ReasonBody(BaseModel):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[_Line, Field(examples=["the service was switched off"])]


@shape
class BalanceView(TypedDict):
    """What a node has taken of its cap, and what is left; USD or a count, as the budget's measure is."""

    node: Node
    spent: str
    held: str
    unreconciled: str
    left: str


@shape
class OverrideView(TypedDict):
    """More than the cap, for a while."""

    id: Id
    amount: str
    owner: str
    reason: str
    created_at: Time
    expires_at: Time


@shape
class BudgetView(TypedDict):
    """A budget with the balances of nodes."""

    name: str
    in_rationales: str
    """How rationales name it: `#` and a number, if it is of one person or session."""
    level: Level
    node: Node
    within: dict[Level, Node]
    measure: Measure
    cap: str
    period: PeriodKind
    length: str | None
    time_zone: str
    mode: Mode
    hard: bool
    warn_at: list[int]
    owner: str | None
    cap_in_force: str
    """With overrides."""
    period_start: Time
    period_end: Time | None
    made_at: Time
    changed_at: Time
    overrides: list[OverrideView]
    nodes: list[BalanceView]


@shape
class BudgetPage(TypedDict):
    """Budgets by name."""

    budgets: list[BudgetView]
    next_after: str | None


class BudgetWithNodes(BudgetView):
    """A budget with the balances of its nodes, the most used first."""

    next_after: str | None


@shape
class Difference(TypedDict):
    """A field that changes."""

    before: Any
    after: Any


@shape
class ChangeView(TypedDict):
    """What becomes, or would become, of a budget."""

    name: str
    differences: dict[str, Difference]
    fresh_accounts: bool
    """Whether it counts anew, from what the ledger knows."""


class MadeBudget(ChangeView):
    """What became of one budget."""

    change: BudgetChangeKind


@shape
class RetiredBudget(TypedDict):
    """A budget that is not in force any more."""

    name: str
    change: BudgetChangeKind


@shape
class AppliedBudgets(TypedDict):
    """What becomes, or would become, of all budgets."""

    dry_run: bool
    created: list[ChangeView]
    changed: list[ChangeView]
    unchanged: list[ChangeView]
    retired: list[ChangeView]


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


def read_override(body: OverrideBody, definition: BudgetDefinition, id_: str, now: datetime) -> StoredOverride:
    """Check an override of a budget that somebody asks for.

    Raises:
        BadRequest: naming the field that is wrong.
    """
    if not now < body.expires_at <= now + _LONGEST_OVERRIDE:
        raise BadRequest("expires_at: an override ends in the future, within 366 days.")
    try:
        amount = amount_of(definition.measure, body.amount)
    except ValueError as error:
        raise BadRequest(f"amount: {error}.") from error
    if amount == 0:
        raise BadRequest("amount: an override allows more, so it is more than nothing.")
    return StoredOverride(
        id=id_, amount=amount, owner=body.owner, reason=body.reason, created_at=now, expires_at=body.expires_at
    )


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


def budget_view(stored: StoredBudget, budget: Budget, nodes: Sequence[tuple[str, Balance]], at: datetime) -> BudgetView:
    """Show a budget with the balances of nodes."""
    measure = budget.measure
    window = budget.period.window(at)
    rolls = budget.period.length
    view: Json = {
        **stored.definition.to_json(),
        "in_rationales": budget.in_rationales,
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
    return cast(BudgetView, view)


def balance_view(node: str, balance: Balance, measure: Measure, cap: int) -> BalanceView:
    """Show what a node has taken of its cap, and what is left."""
    return {
        "node": node,
        "spent": show_amount(measure, balance.spent),
        "held": show_amount(measure, balance.held),
        "unreconciled": show_amount(measure, balance.unreconciled),
        "left": show_amount(measure, max(0, cap - balance.taken)),
    }


def change_view(change: BudgetChange) -> ChangeView:
    """Show what becomes, or would become, of a budget."""
    return {
        "name": change.name,
        "differences": {
            name: {"before": before, "after": after} for name, (before, after) in change.differences.items()
        },
        "fresh_accounts": change.fresh_accounts,
    }


def measure_in(definition: str) -> Measure:
    """Read from a stored definition what it counts."""
    return Measure(json.loads(definition)["measure"])
