"""What a document of the directory says, and how it is told that it cannot be used (pure)."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from p402.vocabulary import MAX_ID_LENGTH, Permanent

__all__ = [
    "MOST_PROBLEMS",
    "Document",
    "DocumentUnusable",
    "ListedDepartment",
    "ListedPerson",
    "Wrong",
    "display_name",
    "is_display_name",
]

MOST_PROBLEMS = 50
"""That are told at once; of the others only the number is."""

_JOINERS = str.maketrans("", "", "\u200c\u200d")  # invisible, but names of several languages are written with them


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """An employee, as a document has them."""

    employee: str
    display_name: str | None
    department: str | None
    """The id of a department or its display name, as the document says it; see `departments.settle`."""
    active: bool
    place: str
    """Where the department is in the document: ``line 7, department``."""


@dataclass(frozen=True, slots=True)
class ListedDepartment:
    """A department, as a document has it."""

    department: str
    display_name: str | None


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says."""

    people: Sequence[ListedPerson]
    departments: Sequence[ListedDepartment]
    lists_people: bool
    """Whether it is about people at all: whoever it does not name may be somebody who has left."""
    lists_departments: bool
    whole: bool = True
    """Whether it says itself that it is only a page of a longer list."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something in a document that is not as it must be. It does not repeat what stands there, which may be personal."""

    place: str
    """``line 7, department`` or ``Resources[3].userName``."""
    detail: str


class DocumentUnusable(Permanent):
    """A document cannot be used, and nothing of it was; the message says what is wrong where."""

    def __init__(self, problems: Sequence[Wrong]) -> None:
        told = "; ".join(f"{one.place}: {one.detail}" for one in problems[:MOST_PROBLEMS])
        more = len(problems) - MOST_PROBLEMS
        super().__init__(f"Nothing was imported. {told}{f'; and {more} more' if more > 0 else ''}.")
        self.problems = tuple(problems[:MOST_PROBLEMS])


def display_name(text: str | None) -> str | None:
    """Give a name for people to read, composed (NFC) and with single spaces; None if there is none."""
    return unicodedata.normalize("NFC", " ".join((text or "").split())) or None


def is_display_name(name: str | None) -> bool:
    """Tell whether a name can be shown: at most as long as an id, and nothing in it that changes how others are read."""
    return name is None or (len(name) <= MAX_ID_LENGTH and name.translate(_JOINERS).isprintable())
