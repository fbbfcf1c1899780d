"""What the members of answers are: types that say their format, with an example. Shapes are made of them (pure)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from p402.vocabulary import Attribution

__all__ = [
    "Count",
    "Date",
    "Hex32",
    "Id",
    "Json",
    "Levels",
    "Node",
    "SpanId",
    "Time",
    "TraceId",
    "Usd",
    "levels_view",
    "shape",
]

shape = with_config(ConfigDict(use_attribute_docstrings=True))
"""Makes the sentences below the members of a TypedDict their descriptions."""

Id = Annotated[str, Field(examples=["rcpt_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]
"""A prefix that names the kind, and a ULID: ids of one kind sort by time."""
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-05-15T09:00:00.000Z"])]
Date = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2026-05-15"])]
Usd = Annotated[str, Field(pattern=r"^-?\d+(\.\d{1,9})?$", examples=["0.264235"])]
"""US dollars, to the nano-dollar."""
Node = Annotated[str, Field(examples=["legal"])]
"""The id of a node of the tree."""
TraceId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["5b8aa5a2d2c872e8321cf37308d69df2"])]
SpanId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", examples=["051581bf3cb55c13"])]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["9f" * 32])]
"""A SHA-256."""
Count = Annotated[int, Field(ge=0, examples=[1])]
Json = dict[str, Any]
"""An object whose members depend on something else."""


@shape
class Levels(TypedDict):
    """The owner of a call at six levels; null where it is unattributed."""

    organisation: Node | None
    department: Node | None
    project: Node | None
    client: Node | None
    employee: Node | None
    session: Node | None


def levels_view(attribution: Attribution) -> Levels:
    """Show an attribution."""
    return {
        "organisation": attribution.organisation,
        "department": attribution.department,
        "project": attribution.project,
        "client": attribution.client,
        "employee": attribution.employee,
        "session": attribution.session,
    }
