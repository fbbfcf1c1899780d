"""How a budget is written: in the API, in a YAML file, in the database. Checked at the door, with the field's name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from p402.collector.budgets.budget import Budget, Override
from p402.collector.budgets.period import Period, PeriodKind
from p402.collector.field_problems import problems_of
from p402.decisions import Measure, Mode
from p402.vocabulary import Attribution, Level, Money, Permanent, is_valid_id

__all__ = ["BudgetDefinition", "BudgetInvalid", "amount_of", "budget_of", "read_definition", "show_amount"]

EACH = "*"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_LENGTH = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=366)
_MOST = 2**62  # amounts must fit in 64 bits, with room for what is spent beyond a cap


class BudgetInvalid(Permanent):
    """A budget is not written as it must be; the message names the field."""


def _id(value: str) -> str:
    if not is_valid_id(value):
        raise ValueError("an id is 1 to 256 printable characters without spaces around it")
    return value


def _budget_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name is 1 to 100 lower-case letters, digits, dots, dashes and underscores")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("a time zone has a name such as Europe/Berlin or UTC") from error
    return value


def _text(value: object) -> object:
    """Take a whole number as an amount too; a fraction written as a JSON number has been a float and is refused."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        raise ValueError('an amount is a decimal string such as "500.00", not a number with a fraction')  # noqa: TRY004
    return value


_Id = Annotated[str, AfterValidator(_id)]


class BudgetDefinition(BaseModel):
    """One budget as people write it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(_budget_name)]
    level: Level
    node: _Id = EACH
    """An id, or ``*`` for each node of the level for itself."""
    within: dict[Level, _Id] = Field(default_factory=dict)
    measure: Measure = Measure.COST
    cap: Annotated[str, BeforeValidator(_text), Field(examples=["20000.00"])]
    """USD as a decimal string; for other measures a whole number."""
    period: PeriodKind = PeriodKind.MONTH
    length: str | None = None
    """Of a rolling period: ``90s``, ``15m``, ``24h``, ``30d``."""
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    mode: Mode = Mode.ENFORCE
    hard: bool = False
    warn_at: tuple[Annotated[int, Field(ge=1, le=100)], ...] = (80, 95)
    owner: Annotated[str, Field(max_length=256)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        amount_of(self.measure, self.cap)
        if (self.period is PeriodKind.ROLLING) != (self.length is not None):
            raise ValueError("a rolling period needs a length such as 24h, and no other period has one")
        if self.length is not None:
            _length(self.length)
        if self.level is Level.REQUEST and (self.node != EACH or self.measure not in (Measure.COST, Measure.TOKENS)):
            raise ValueError("a ceiling for each request has the node * and the measure cost or tokens")
        if self.measure is Measure.CONCURRENCY and self.period is not PeriodKind.TOTAL:
            raise ValueError("calls under way are counted now: the measure concurrency has the period total")
        if Level.REQUEST in self.within:
            raise ValueError("within names nodes from organisation to session")
        return self

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values, with what was left out filled in."""
        return self.model_dump(mode="json")


def read_definition(document: Mapping[str, Any]) -> BudgetDefinition:
    """Check what somebody wrote.

    Raises:
        BudgetInvalid: naming each field that is wrong and what it should be.
    """
    try:
        return BudgetDefinition.model_validate(document)
    except ValidationError as error:
        name = document.get("name")
        problems = problems_of(error, "the budget")
        raise BudgetInvalid(f"The budget {str(name)[:100]!r} cannot be used: {problems}.") from error


def budget_of(
    id_: int,
    organisation: str,
    name: str,
    document: Mapping[str, Any],
    made_at: datetime,
    overrides: Sequence[Override] = (),
) -> Budget:
    """Make a budget of its stored definition."""
    written = BudgetDefinition.model_validate({**document, "name": name})
    return Budget(
        id=id_,
        organisation=organisation,
        name=name,
        level=written.level,
        node=None if written.node == EACH else written.node,
        within=Attribution(**{level.value: node for level, node in written.within.items()}),
        measure=written.measure,
        cap=amount_of(written.measure, written.cap),
        period=Period(
            kind=written.period,
            time_zone=written.time_zone,
            length=None if written.length is None else _length(written.length),
        ),
        mode=written.mode,
        hard=written.hard,
        warn_at=tuple(sorted(written.warn_at)),
        owner=written.owner,
        made_at=made_at,
        overrides=tuple(overrides),
    )


def amount_of(measure: Measure, text: str) -> int:
    """Read an amount of a measure.

    Raises:
        ValueError: saying how one looks.
    """
    if measure is Measure.COST:
        amount = Money.parse(text).nano_usd
    elif text.isascii() and text.isdigit() and len(text) < 20:  # noqa: PLR2004 - 64 bits
        amount = int(text)
    else:
        raise ValueError(f"an amount of {measure} is a whole number; got {text[:40]!r}")
    if not 0 <= amount <= _MOST:
        raise ValueError(f"an amount is not negative and at most {show_amount(measure, _MOST)}; got {text[:40]!r}")
    return amount


def show_amount(measure: Measure, amount: int) -> str:
    """Write an amount of a measure as the API does: USD as a decimal string, counts as digits."""
    return str(Money(amount)) if measure is Measure.COST else str(amount)


def _length(text: str) -> timedelta:
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise ValueError("a length is a number and a unit: 90s, 15m, 24h, 30d")
    length = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not timedelta(seconds=1) <= length <= _LONGEST:
        raise ValueError("a rolling period is from one second to 366 days long")
    return length
