"""What the feedback API takes, checked at the door, and what it gives: JSON in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from p402.collector.api.fields import Count, Id, Json, Node, Time, shape
from p402.collector.api.problem import BadRequest, Problem
from p402.collector.api.query import BodyTime
from p402.collector.budgets.definition import amount_of, show_amount
from p402.collector.budgets.grant import ceilings
from p402.collector.budgets.path import BudgetPath
from p402.collector.storage.decisions import Granted
from p402.collector.storage.leases import LeaseState
from p402.decisions import Ability, Code, Measure, Question, Verdict
from p402.vocabulary import MAX_ID_LENGTH, Attribution, Level, Usage, is_valid_id, rfc3339

__all__ = [
    "Allowed",
    "AskBody",
    "AskedQuestion",
    "Blocked",
    "DecisionView",
    "GrantedLease",
    "LeaseAnswer",
    "LeaseSettlement",
    "LimitsView",
    "NamedCard",
    "Refusal",
    "Settled",
    "SettledLease",
    "Settlement",
    "amounts_from",
    "amounts_view",
    "decision_view",
    "limits_view",
]

_MOST_TOKENS = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RETRY_AFTER_SECONDS = 0.25


def _id(value: object) -> object:
    if value is not None and not is_valid_id(value):
        raise ValueError("an id is 1 to 256 printable characters without spaces around it")
    return value


def _may_repeat(schema: dict[str, Any]) -> None:
    """Let a list name something twice, which changes nothing."""
    del schema["uniqueItems"]


def _of_a_call(moment: datetime) -> datetime:
    if moment < _EPOCH:
        raise ValueError("must be 1970 or later")
    return moment


_Id = Annotated[str, BeforeValidator(_id)]
_Tokens = Annotated[int, Field(ge=0, le=_MOST_TOKENS)]
_Text = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
_CallTime = Annotated[BodyTime, AfterValidator(_of_a_call)]
_Strict = ConfigDict(extra="forbid", frozen=True)


class AskedQuestion(BaseModel):
    """A call that is about to be made; see `p402.decisions.Question`."""

    model_config = _Strict

    organisation: _Id | None = None
    department: _Id | None = None
    project: _Id | None = None
    client: _Id | None = None
    employee: _Id | None = None
    session: _Id | None = None
    provider: Annotated[_Text, Field(examples=["anthropic"])]
    model: Annotated[_Text, Field(examples=["claude-opus-4-5"])]
    operation: _Text = "chat"
    input_tokens: _Tokens | None = 0
    output_tokens: _Tokens | None = None
    choices: Annotated[int, Field(ge=1, le=1_000)] = 1
    needs: Annotated[frozenset[Ability], Field(json_schema_extra=_may_repeat)] = frozenset()
    can_clamp: bool = False
    can_change_model: bool = True
    any_provider: bool = False
    writes_cache: bool = False
    media: bool = False
    service_tier: _Text | None = None
    task_type: _Text | None = None
    complexity: Annotated[int, Field(ge=0, le=10)] | None = None
    data_class: _Text | None = None

    def question(self, bound_to: Attribution, default_organisation: str) -> Question:
        """Give the question, attributed as the key is bound."""
        return Question(
            attribution=Attribution(
                bound_to.organisation or self.organisation or default_organisation,
                bound_to.department or self.department,
                bound_to.project or self.project,
                bound_to.client or self.client,
                bound_to.employee or self.employee,
                bound_to.session or self.session,
            ),
            provider=self.provider,
            model=self.model,
            operation=self.operation,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            choices=self.choices,
            needs=self.needs,
            can_clamp=self.can_clamp,
            can_change_model=self.can_change_model,
            any_provider=self.any_provider,
            writes_cache=self.writes_cache,
            media=self.media,
            service_tier=self.service_tier,
            task_type=self.task_type,
            complexity=self.complexity,
            data_class=self.data_class,
        )


class AskBody(BaseModel):
    """What is asked before a call."""

    model_config = _Strict

    question: AskedQuestion
    rules_version: int | None = None
    """The version of the rules that the asker has; what it has is not sent again."""
    expires_in_seconds: Annotated[int, Field(ge=1, le=3_600)] | None = None


class LeaseSettlement(BaseModel):
    """What a holder of a lease keeps of it."""

    model_config = _Strict

    calls: Annotated[int, Field(ge=0, le=_MOST_TOKENS)] = 0
    keep: dict[Measure, str] = Field(default_factory=dict)


class UsageBody(BaseModel):
    """Token counts; see `p402.vocabulary.Usage`."""

    model_config = _Strict

    input_tokens: _Tokens = 0
    output_tokens: _Tokens = 0
    cache_read_input_tokens: _Tokens = 0
    cache_write_input_tokens: _Tokens = 0
    cache_write_1h_input_tokens: _Tokens = 0
    reasoning_output_tokens: _Tokens = 0
    audio_input_tokens: _Tokens = 0
    audio_output_tokens: _Tokens = 0
    audio_cache_read_input_tokens: _Tokens = 0
    image_input_tokens: _Tokens = 0
    image_output_tokens: _Tokens = 0

    def usage(self) -> Usage:
        """Give it as the vocabulary has it."""
        return Usage(**self.model_dump())


class Settlement(BaseModel):
    """What a call used, never what it cost."""

    model_config = _Strict

    outcome: Literal["completed", "not_billed"] = "completed"
    usage: UsageBody | None = None
    model: _Text | None = None
    """The model that answered."""
    response_id: _Id | None = None
    trace_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    span_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    """With ``trace_id``: of the call's span, if one is sent as well."""
    started_at: _CallTime | None = None
    ended_at: _CallTime | None = None
    """Both at most a day after now, as clocks differ."""
    service_tier: _Text | None = None

    @model_validator(mode="after")
    def _ends_after_it_began(self) -> Self:
        if self.started_at is not None and self.ended_at is not None and self.ended_at < self.started_at:
            raise ValueError("ended_at must not be before started_at")
        return self


@shape
class DecisionView(TypedDict):
    """May the call be made, by which model, and how long an answer."""

    id: Id | None
    verdict: Verdict
    code: Code
    rationale: str
    model: str
    """The one to call."""
    output_tokens: int | None
    """A limit to set."""
    would: str | None
    """What budgets and policies that only observe would have done."""
    holds: dict[Measure, str]
    decided_at: Time
    retry_after_seconds: NotRequired[float]
    """With the verdict `wait`."""
    expires_at: NotRequired[Time]
    """Of the hold."""


class Refusal(Problem, DecisionView):
    """The call may not be made: a problem that has the members of the decision too."""


@shape
class NamedCard(TypedDict):
    """The prices of a model."""

    provider: str
    model: str
    service_tier: str | None
    card: Json


@shape
class GrantedLease(TypedDict):
    """What is held for calls to come."""

    id: Id
    expires_at: Time
    amounts: dict[Measure, str]


@shape
class LimitsView(TypedDict):
    """What limits a call of a path, whatever its budgets have left."""

    ceilings: dict[Measure, str]
    """The most that any one call may take."""
    hard: bool
    """Whether some budget must hold for every call."""


@shape
class RulesAnswer(TypedDict):
    """The rules by which a holder of a lease decides by itself."""

    organisation: Node
    department: Node | None
    by_employee: bool
    """Whether calls that name no department may be of several, by the employee that they name."""
    version: int
    levels: list[Level]
    policy: Json
    ceilings: dict[Measure, str]
    """As in ``limits`` of the answer, for older askers, which look here."""
    hard: bool
    catalogue: list[Json]
    cards: list[NamedCard]


@shape
class LeaseAnswer(TypedDict):
    """A decision about one call, and a lease for more like it."""

    decision: DecisionView
    lease: GrantedLease | None
    limits: LimitsView
    """For calls that agree with this one on all ``levels`` of the rules."""
    current_until: Time
    """When a price changes or an override ends: until then limits and prices are as told, unless the rules change."""
    card: NamedCard | None
    rules: RulesAnswer | None
    """Null: those of the version that was named are still right."""


@shape
class Settled(TypedDict):
    """What became of a call."""

    id: Id
    outcome: str


@shape
class SettledLease(TypedDict):
    """What became of a lease."""

    state: LeaseState
    missing_calls: Count
    """Calls under it that no span has told of."""


@shape
class Allowed(TypedDict):
    """The request may pass."""

    verdict: Literal["allow"]


@shape
class Blocked(TypedDict):
    """The request may not pass."""

    verdict: Literal["block"]
    budget: str


def amounts_from(amounts: Mapping[Measure, str]) -> dict[Measure, int]:
    """Read amounts by measure.

    Raises:
        BadRequest: naming the measure.
    """
    try:
        return {measure: amount_of(measure, text) for measure, text in amounts.items()}
    except ValueError as error:
        raise BadRequest(f"An amount is not as it must be: {error}.") from error


def amounts_view(amounts: Mapping[Measure, int]) -> dict[Measure, str]:
    """Show amounts by measure: USD as a decimal string, counts as digits."""
    return {measure: show_amount(measure, amount) for measure, amount in amounts.items()}


def limits_view(path: BudgetPath, at: datetime) -> LimitsView:
    """Show what limits a call of a path."""
    return {"ceilings": amounts_view(ceilings(path, at)), "hard": path.hard}


def decision_view(granted: Granted) -> DecisionView:
    """Show a decision."""
    decision = granted.decision
    view: DecisionView = {
        "id": granted.id,
        "verdict": decision.verdict,
        "code": decision.code,
        "rationale": decision.rationale,
        "model": decision.model,
        "output_tokens": decision.output_tokens,
        "would": decision.would,
        "holds": amounts_view(decision.holds),
        "decided_at": rfc3339(granted.decided_at),
    }
    if decision.verdict is Verdict.WAIT:
        view["retry_after_seconds"] = RETRY_AFTER_SECONDS
    if granted.lease_id is not None and granted.expires_at is not None:
        view["expires_at"] = rfc3339(granted.expires_at)
    return view
