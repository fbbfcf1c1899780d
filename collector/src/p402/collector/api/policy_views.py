"""What the API takes and shows of policies: plain JSON values (pure)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from p402.collector.api.auth import Principal
from p402.collector.api.feedback_schema import AskedQuestion
from p402.collector.api.fields import Count, Id, Json, Node, Time, Usd, shape
from p402.collector.api.problem import BadRequest, Forbidden
from p402.collector.api.query import BodyTime
from p402.collector.routing.history import Example, History, Tally
from p402.collector.routing.schema import PolicyDefinition
from p402.collector.storage.policies import DEFAULT_DEPARTMENT, StoredPolicy
from p402.decisions import Code, Decision, Verdict
from p402.vocabulary import MAX_ID_LENGTH, Level, Money, is_valid_id, rfc3339

__all__ = [
    "DEFAULT_NAME",
    "JudgedCall",
    "JudgedPeriod",
    "PolicyBody",
    "PolicyList",
    "PolicyVersions",
    "PolicyView",
    "TestBody",
    "decision_view",
    "history_view",
    "may_see_policy",
    "policy_department",
    "policy_view",
]

DEFAULT_NAME = "_default"
"""How a URL calls the policy of departments that have none of their own."""

_MOST_MOVES = 100
_SHAPE = ConfigDict(extra="forbid", frozen=True)


class PolicyBody(PolicyDefinition):
    """A policy as it shall be, and why."""

    reason: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None

    def definition(self) -> PolicyDefinition:
        """Give the policy without the reason for it."""
        return PolicyDefinition.model_validate(self.model_dump(exclude={"reason"}, exclude_defaults=True))


class _Period(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    begin: Annotated[BodyTime, Field(alias="from")]
    end: Annotated[BodyTime, Field(alias="to")]


class TestBody(BaseModel):
    """What a policy is tried on: a call, or the calls of a period."""

    __test__ = False  # no test, whatever pytest thinks of its name
    model_config = _SHAPE

    department: Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)] | None = None
    policy: PolicyDefinition | None = None
    """None: the policies as they are."""
    question: AskedQuestion | None = None
    history: _Period | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> TestBody:
        if (self.question is None) == (self.history is None):
            raise ValueError("give either question or history")
        if self.history is not None and self.history.begin >= self.history.end:
            raise ValueError("history.from must be before history.to")
        return self


@shape
class PolicyView(TypedDict):
    """One version of a policy."""

    organisation: Node
    department: Node
    """`_default`: of those without one of their own."""
    version: int
    definition: Json | None
    """Null: the version ends the policy."""
    created_at: Time
    created_by: Id | None
    """The key."""
    reason: str | None


@shape
class PolicyList(TypedDict):
    """Policies in force."""

    policies: list[PolicyView]


@shape
class PolicyVersions(TypedDict):
    """Versions of a policy, the oldest first."""

    versions: list[PolicyView]
    next_after: int | None


@shape
class JudgedCall(TypedDict):
    """What a policy makes of a call, apart from money."""

    verdict: Verdict
    code: Code
    rationale: str
    model: str
    would: str | None
    most_usd: Usd
    """The most that the call can cost."""


@shape
class TallyView(TypedDict):
    """Calls and what they cost."""

    calls: Count
    cost_usd: Usd
    unpriced_calls: Count


@shape
class Moved(TypedDict):
    """Calls that would have gone to another model."""

    calls: Count
    cost_before_usd: Usd
    cost_after_usd: Usd


MoveView = TypedDict(
    "MoveView",
    {
        "provider": str,
        "from": str,
        "to": str,
        "calls": Count,
        "calls_without_price": Count,
        "cost_before_usd": Usd,
        "cost_after_usd": Usd,
    },
)
"""From one model to another."""


@shape
class NotJudged(TypedDict):
    """Calls about which too little is known."""

    complexity_unknown: TallyView


@shape
class ExampleView(TypedDict):
    """A call that the policy changes."""

    seq: int
    started_at: Time
    department: Node | None
    provider: str
    model: str | None
    task_type: str | None
    complexity: int | None
    cost_usd: Usd | None
    verdict: Verdict
    code: Code
    rationale: str
    model_after: str


@shape
class JudgedPeriod(TypedDict):
    """What a policy would have made of the calls of a period."""

    looked_at: TallyView
    complete: bool
    verdicts: dict[Verdict, TallyView]
    rules: dict[str, Count]
    """How often each rule decided."""
    moved: Moved
    moves: list[MoveView]
    not_judged: NotJudged
    examples: list[ExampleView]
    notes: list[str]


def policy_view(stored: StoredPolicy) -> PolicyView:
    """Show one version of a policy; without a definition it is the end of one."""
    return {
        "organisation": stored.organisation,
        "department": DEFAULT_NAME if stored.department == DEFAULT_DEPARTMENT else stored.department,
        "version": stored.version,
        "definition": None if stored.definition is None else stored.definition.to_json(),
        "created_at": rfc3339(stored.created_at),
        "created_by": stored.created_by,
        "reason": stored.reason,
    }


def decision_view(decision: Decision) -> JudgedCall:
    """Show what a policy makes of a call, apart from money."""
    return {
        "verdict": decision.verdict,
        "code": decision.code,
        "rationale": decision.rationale,
        "model": decision.model,
        "would": decision.would,
        "most_usd": str(decision.ceiling),
    }


def history_view(history: History, *, complete: bool) -> JudgedPeriod:
    """Show what a policy would have made of a period."""
    moves = sorted(history.moves.items(), key=lambda item: (item[1].after.nano_usd - item[1].before.nano_usd, item[0]))
    before = sum((move.before for move in history.moves.values()), Money(0))
    after = sum((move.after for move in history.moves.values()), Money(0))
    return {
        "looked_at": _tally_view(history.looked_at),
        "complete": complete,
        "verdicts": {verdict: _tally_view(tally) for verdict, tally in sorted(history.verdicts.items())},
        "rules": dict(history.rules.most_common()),
        "moved": {
            "calls": sum(move.calls for move in history.moves.values()),
            "cost_before_usd": str(before),
            "cost_after_usd": str(after),
        },
        "moves": [
            {
                "provider": provider,
                "from": model,
                "to": other,
                "calls": move.calls,
                "calls_without_price": move.incomparable,
                "cost_before_usd": str(move.before),
                "cost_after_usd": str(move.after),
            }
            for (provider, model, other), move in moves[:_MOST_MOVES]
        ],
        "not_judged": {"complexity_unknown": _tally_view(history.without_complexity)},
        "examples": [_example_view(example) for example in history.examples],
        "notes": _notes(history, complete=complete),
    }


def _notes(history: History, *, complete: bool) -> list[str]:
    notes = [
        "Costs after a move are list prices of the same numbers of tokens; another model may use more or fewer.",
        "Charges do not tell whether a call used tools, needed a required shape, or could be given another model at all.",
        "Money is not looked at: what a budget would have done is not in this.",
    ]
    if history.without_complexity.calls:
        notes.append(
            f"{history.without_complexity.calls} calls were not judged: a rule about complexity could apply to them, "
            "and nobody computed theirs."
        )
    if not complete:
        notes.append("The period has more calls than one test looks at; these are the earliest. Ask for a shorter one.")
    return notes


def _tally_view(tally: Tally) -> TallyView:
    return {"calls": tally.calls, "cost_usd": str(tally.cost), "unpriced_calls": tally.unpriced}


def _example_view(example: Example) -> ExampleView:
    charge, decision = example.charge, example.decision
    return {
        "seq": example.seq,
        "started_at": rfc3339(charge.started_at),
        "department": charge.attribution.department,
        "provider": charge.provider,
        "model": charge.request_model or charge.model,
        "task_type": charge.task_type,
        "complexity": charge.complexity,
        "cost_usd": None if charge.cost is None else str(charge.cost),
        "verdict": decision.verdict,
        "code": decision.code,
        "rationale": decision.rationale,
        "model_after": decision.model,
    }


def policy_department(name: str, principal: Principal) -> str:
    """Read from a URL whose policy is meant; ``""`` is the organisation's default.

    Raises:
        BadRequest: if that is no id.
        Forbidden: if it is not the caller's to see.
    """
    if not is_valid_id(name):
        raise BadRequest(
            "The id of a department has 1 to 256 printable characters; _default is the organisation's own."
        )
    department = DEFAULT_DEPARTMENT if name == DEFAULT_NAME else name
    if not may_see_policy(principal, department):
        raise Forbidden("The API key is bound to another department.")
    return department


def may_see_policy(principal: Principal, department: str) -> bool:
    """Tell whether a policy is a key's to see: one of the whole organisation sees all, any other its department's own."""
    below = any(value is not None for level, value in principal.bound_to if level is not Level.ORGANISATION)
    return not below or department in (principal.bound_to.department, DEFAULT_DEPARTMENT)
