"""How a policy is written: in the API, in a file, in the database. Checked at the door, with the path of each field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import time
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from p402.collector.field_problems import problems_of
from p402.decisions import FailMode, Mode, Policy, Rung, Strategy, Tier, policy_from_wire
from p402.vocabulary import Permanent, is_valid_id

__all__ = ["PolicyDefinition", "PolicyInvalid", "policy_of_definition", "read_policy"]

_MOST = 100  # names in a list, rules in a policy
_MOST_STARS = 4  # each one more makes a long name slower to match
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")


class PolicyInvalid(Permanent):
    """A policy is not written as it must be; the message names the path of each field that is wrong."""


def _id(value: str) -> str:
    if not is_valid_id(value):
        raise ValueError("must be 1 to 256 printable characters without spaces around them")
    return value


def _pattern(value: str) -> str:
    if value.count("*") > _MOST_STARS:
        raise ValueError(f"may have {_MOST_STARS} stars at most, each for any characters")
    return _id(value)


def _time(value: object) -> object:
    if isinstance(value, time):  # as TOML writes it
        value = value.isoformat("minutes")
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError('must be a time of day such as "18:00"')
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("must be the name of a time zone such as Europe/Berlin or UTC") from error
    return value


_Id = Annotated[str, AfterValidator(_id)]
_Ids = Annotated[tuple[_Id, ...], Field(max_length=_MOST)]
_Patterns = Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], Field(max_length=_MOST)]
_Complexity = Annotated[int, Field(ge=0, le=10)]
_Time = Annotated[str, BeforeValidator(_time)]
_Shape = ConfigDict(extra="forbid", frozen=True)


class ConditionDefinition(BaseModel):
    """When a rule applies; see `p402.decisions.Condition`."""

    model_config = _Shape

    task_types: _Ids = ()
    complexity_from: _Complexity | None = None
    complexity_to: _Complexity | None = None
    data_classes: _Ids = ()
    models: _Patterns = ()
    providers: _Patterns = ()
    weekdays: Annotated[tuple[Annotated[int, Field(ge=1, le=7)], ...], Field(max_length=7)] = ()
    time_from: _Time | None = None
    time_to: _Time | None = None
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.complexity_from or 0) > (10 if self.complexity_to is None else self.complexity_to):
            raise ValueError("complexity_from is above complexity_to, so that no call can fulfil it")
        return self


class ActionDefinition(BaseModel):
    """What a rule says; see `p402.decisions.Action`."""

    model_config = _Shape

    block: _Id | None = None
    model: _Id | None = None
    min_tier: Tier | None = None
    max_tier: Tier | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        others = (self.model, self.min_tier, self.max_tier)
        if self.block is not None and any(other is not None for other in others):
            raise ValueError("block stands alone: a call that is refused has no model")
        if self.block is None and all(other is None for other in others):
            raise ValueError("says nothing: give block, model, min_tier or max_tier")
        _check_tiers(self.min_tier, self.max_tier)
        return self


class RuleDefinition(BaseModel):
    """One line of a policy."""

    model_config = _Shape

    name: _Id
    when: ConditionDefinition = ConditionDefinition()
    then: ActionDefinition


class AtCapDefinition(BaseModel):
    """What to do when the money left does not cover a call; see `p402.decisions.AtCap`."""

    model_config = _Shape

    rungs: Annotated[tuple[Rung, ...], Field(max_length=len(Rung))] = (Rung.WAIT,)
    least_output_tokens: Annotated[int, Field(ge=1, le=10**9)] = 512
    wait_seconds: Annotated[float, Field(ge=0, le=60)] = 2.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.rungs)) != len(self.rungs):
            raise ValueError("rungs names something twice")
        return self


class PolicyDefinition(BaseModel):
    """A policy as people write it; see `p402.decisions.Policy`."""

    model_config = _Shape

    mode: Mode = Mode.ENFORCE
    strategy: Strategy = Strategy.QUALITY_FIRST
    min_tier: Tier | None = None
    max_tier: Tier | None = None
    allowed_models: _Patterns = ()
    denied_models: _Patterns = ()
    allowed_providers: _Patterns = ()
    denied_providers: _Patterns = ()
    data_classes: Annotated[dict[_Id, _Patterns], Field(max_length=_MOST)] = Field(default_factory=dict)
    rules: Annotated[tuple[RuleDefinition, ...], Field(max_length=_MOST)] = ()
    at_cap: AtCapDefinition = AtCapDefinition()
    fail_mode: FailMode | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_tiers(self.min_tier, self.max_tier)
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two rules have the name {twice[0]!r}, so that a decision could not say which applied")
        return self

    def to_json(self) -> dict[str, Any]:
        """Give what differs from the defaults, as JSON values."""
        return self.model_dump(mode="json", exclude_defaults=True)


def read_policy(document: object, what: str = "The policy") -> PolicyDefinition:
    """Check what somebody wrote.

    Raises:
        PolicyInvalid: naming the path of each field that is wrong, and what is allowed there.
    """
    try:
        return PolicyDefinition.model_validate(document)
    except ValidationError as error:
        raise PolicyInvalid(f"{what} cannot be used: {problems_of(error)}.") from error


def policy_of_definition(definition: PolicyDefinition | str, name: str, version: int) -> Policy:
    """Make the policy that is meant; of the database's text too, which was checked when it was written."""
    written: Mapping[str, Any] = json.loads(definition) if isinstance(definition, str) else definition.to_json()
    return policy_from_wire({**written, "name": name, "version": version})


def _check_tiers(low: Tier | None, high: Tier | None) -> None:
    if low is not None and high is not None and low.rank > high.rank:
        raise ValueError(f"min_tier {low} is above max_tier {high}, so that no model is left")
