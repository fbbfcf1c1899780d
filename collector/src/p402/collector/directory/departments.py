"""Which department a document means where it says one: by id or by display name (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from p402.collector.directory.entries import Document, DocumentUnusable, ListedPerson, Wrong, display_name
from p402.vocabulary import is_valid_id

__all__ = ["settle"]


def settle(document: Document, known: Mapping[str, str | None]) -> Sequence[ListedPerson]:
    """Give the people of a document, each with the id of their department.

    A text that is neither the id nor the display name of a department of the document or of the directory, but could be an
    id, is the id of a new one.

    Args:
        document: as it was read.
        known: the departments of the directory, each with its display name.

    Raises:
        DocumentUnusable: if a text means several departments, or cannot be an id.
    """
    names = {**known, **{one.department: one.display_name for one in document.departments}}
    called: dict[str, list[str]] = {}
    for department, name in names.items():
        if name is not None:
            called.setdefault(name, []).append(department)
    problems: list[Wrong] = []
    people = []
    for person in document.people:
        said = person.department
        meant = called.get(display_name(said) or "", [])
        if said is None or said in names:
            people.append(person)
        elif len(meant) > 1:
            several = ", ".join(repr(one[:40]) for one in sorted(meant))
            problems.append(Wrong(person.place, f"is what several departments are called: say which of {several}"))
        elif meant:
            people.append(replace(person, department=meant[0]))
        elif is_valid_id(said):
            people.append(person)
        else:
            problems.append(
                Wrong(
                    person.place, "is no known department, and cannot be the id of a new one: import departments first"
                )
            )
    if problems:
        raise DocumentUnusable(problems)
    return people
