"""What the feedback API takes, checked at the door, and what it gives: JSON in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from p402.collector.api.problem import BadRequest
from p402.collector.budgets.definition import amount_of, show_amount
from p402.collector.storage.decisions import Granted
from p402.decisions import Ability, Measure, Question, Verdict
from p402.vocabulary import MAX_ID_LENGTH, Attribution, Level, Usage, is_valid_id, rfc3339

__all__ = [
    "AskBody",
    "AskedQuestion",
    "LeaseSettlement",
    "Settlement",
    "amounts_from",
    "amounts_view",
    "decision_view",
]

_MOST_TOKENS = 10**9
RETRY_AFTER_SECONDS = 0.25


def _id(value: object) -> object:
    if value is not None and not is_valid_id(value):
        raise ValueError("an id is 1 to 256 printable characters without spaces around it")
    return value


_Id = Annotated[str, BeforeValidator(_id)]
_Tokens = Annotated[int, Field(ge=0, le=_MOST_TOKENS)]
_Text = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
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
    provider: _Text
    model: _Text
    operation: _Text = "chat"
    input_tokens: _Tokens | None = 0
    output_tokens: _Tokens | None = None
    choices: Annotated[int, Field(ge=1, le=1_000)] = 1
    needs: frozenset[Ability] = frozenset()
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
        asked = Attribution(self.organisation, self.department, self.project, self.client, self.employee, self.session)
        fallback = Attribution(organisation=default_organisation)
        values = {name: getattr(self, name) for name in _NOT_LEVELS}
        return Question(attribution=bound_to.over(asked).over(fallback), **values)


_NOT_LEVELS = tuple(name for name in AskedQuestion.model_fields if name not in set(Level))


class AskBody(BaseModel):
    """Body of ``POST /v1/decisions`` and ``POST /v1/leases``."""

    model_config = _Strict

    question: AskedQuestion
    rules_version: int | None = None
    """The version of the rules that the asker has; what it has is not sent again."""
    expires_in_seconds: Annotated[int, Field(ge=1, le=3_600)] | None = None


class LeaseSettlement(BaseModel):
    """Body of ``POST /v1/leases/{id}/settle``."""

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
    """Body of ``POST /v1/decisions/{id}/settle``: what the call used, never what it cost."""

    model_config = _Strict

    outcome: Literal["completed", "not_billed"] = "completed"
    usage: UsageBody | None = None
    model: _Text | None = None
    """The model that answered."""
    response_id: _Id | None = None
    trace_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    span_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    """With ``trace_id``: of the call's span, if one is sent as well."""
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    service_tier: _Text | None = None


def amounts_from(amounts: Mapping[Measure, str]) -> dict[Measure, int]:
    """Read amounts by measure.

    Raises:
        BadRequest: naming the measure.
    """
    try:
        return {measure: amount_of(measure, text) for measure, text in amounts.items()}
    except ValueError as error:
        raise BadRequest(f"An amount is not as it must be: {error}.") from error


def amounts_view(amounts: Mapping[Measure, int]) -> dict[str, str]:
    """Show amounts by measure: USD as a decimal string, counts as digits."""
    return {measure.value: show_amount(measure, amount) for measure, amount in amounts.items()}


def decision_view(granted: Granted, at: datetime) -> dict[str, Any]:
    """Show a decision."""
    decision = granted.decision
    view: dict[str, Any] = {
        "id": granted.id,
        "verdict": decision.verdict.value,
        "code": decision.code.value,
        "rationale": decision.rationale,
        "model": decision.model,
        "output_tokens": decision.output_tokens,
        "would": decision.would,
        "holds": amounts_view(decision.holds),
        "decided_at": rfc3339(at),
    }
    if decision.verdict is Verdict.WAIT:
        view["retry_after_seconds"] = RETRY_AFTER_SECONDS
    if granted.lease_id is not None and granted.expires_at is not None:
        view["expires_at"] = rfc3339(granted.expires_at)
    return view
