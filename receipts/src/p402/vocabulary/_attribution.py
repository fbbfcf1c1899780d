"""Who a call was for: the seven levels, and the path through them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

__all__ = ["MAX_ID_LENGTH", "Attribution", "Level", "is_valid_id"]

MAX_ID_LENGTH = 256


class Level(StrEnum):
    """The seven levels, from the payer down to the atom."""

    ORGANISATION = "organisation"
    DEPARTMENT = "department"
    PROJECT = "project"
    CLIENT = "client"
    EMPLOYEE = "employee"
    SESSION = "session"
    REQUEST = "request"

    @property
    def attribute(self) -> str:
        """The name of this level as a span attribute and as a baggage key, for example ``p402.department``."""
        return f"p402.{self.value}"


def is_valid_id(value: object) -> bool:
    """Tell whether a value can be the id of a node: text of 1 to 256 printable characters, no spaces around it."""
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and value.isprintable() and value == value.strip()


@dataclass(frozen=True, slots=True)
class Attribution:
    """The owner of a call at six levels; None where the level is not known (*unattributed*).

    Ids are opaque and unique within their organisation and level. The seventh level, the request, is the call itself.
    """

    organisation: str | None = None
    department: str | None = None
    project: str | None = None
    client: str | None = None
    employee: str | None = None
    session: str | None = None

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Attribution:
        """Read ``p402.organisation`` … ``p402.session``; a value that cannot be an id counts as missing."""
        return cls(*[value if is_valid_id(value) else None for value in map(attributes.get, _ATTRIBUTES)])

    def to_attributes(self) -> dict[str, str]:
        """Give the known levels as attributes or baggage, from the top down."""
        return {level.attribute: value for level, value in self if value is not None}

    def __iter__(self) -> Iterator[tuple[Level, str | None]]:
        """Walk the six levels from the top down."""
        nodes = (self.organisation, self.department, self.project, self.client, self.employee, self.session)
        return zip(_LEVELS, nodes, strict=True)

    def over(self, base: Attribution) -> Attribution:
        """Lay this attribution over another: what is known here wins, what is not is taken from ``base``."""
        return Attribution(
            self.organisation or base.organisation,
            self.department or base.department,
            self.project or base.project,
            self.client or base.client,
            self.employee or base.employee,
            self.session or base.session,
        )

    @property
    def missing(self) -> tuple[Level, ...]:
        """The levels at which the call is unattributed."""
        return tuple(level for level, value in self if value is None)


_NAMES = tuple(field.name for field in fields(Attribution))
_LEVELS = tuple(Level(name) for name in _NAMES)
_ATTRIBUTES = tuple(level.attribute for level in _LEVELS)
