"""What is added to the cost of AI usage for whoever it is charged to: the tables ``[[markup]]`` of the configuration file."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["MarkupSettings"]

_Node = Annotated[str, Field(min_length=1, max_length=256)]


class MarkupSettings(BaseModel):
    """A percentage for a client, a project or a department, or for a combination of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client: _Node | None = None
    project: _Node | None = None
    department: _Node | None = None
    percent: Annotated[Decimal, Field(ge=0, le=1000, decimal_places=2)]
    """Of the cost; down to a basis point."""

    @model_validator(mode="after")
    def _is_for_somebody(self) -> Self:
        if self.client is None and self.project is None and self.department is None:
            raise ValueError("a markup names a client, a project or a department")
        return self

    @property
    def basis_points(self) -> int:
        """The percentage in hundredths of a per cent."""
        return int(self.percent * 100)
