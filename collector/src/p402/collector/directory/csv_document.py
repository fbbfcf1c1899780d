"""CSV files of people or of departments (pure): RFC 4180, UTF-8, a header that says which of the two it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from p402.collector.directory.entries import (
    Document,
    DocumentUnusable,
    ListedDepartment,
    ListedPerson,
    Wrong,
    display_name,
    is_display_name,
)
from p402.vocabulary import MAX_ID_LENGTH, is_valid_id

__all__ = ["ID_WANTED", "NAME_WANTED", "read_csv"]

ID_WANTED = f"must be an id: 1 to {MAX_ID_LENGTH} printable characters, no spaces around them"
NAME_WANTED = f"must be at most {MAX_ID_LENGTH} printable characters"

_PEOPLE = ("employee", "display_name", "department")
_OPTIONAL = ("active",)
_DEPARTMENTS = ("department", "display_name")
_ACTIVE = {"": True, "true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_Row = tuple[int, Mapping[str, str]]


def read_csv(data: bytes) -> Document:
    """Read a file; its first line is ``employee,display_name,department`` or ``department,display_name``, in any order.

    Raises:
        DocumentUnusable: naming line and column of all that is wrong.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentUnusable([Wrong(f"line {line}", "is not UTF-8; save the file as CSV UTF-8")]) from error
    problems: list[Wrong] = []
    rows = _rows(text, problems)  # one by one, so that problems are told in their order
    header = next(rows, None)
    about_people = header is not None and "employee" in header[1]
    people: list[ListedPerson] = []
    departments: list[ListedDepartment] = []
    for line, row, name in _named(rows, "employee" if about_people else "department", problems):
        if about_people:
            people.append(_person(line, row, name, problems))
        else:
            departments.append(ListedDepartment(row["department"], name))
    if problems:
        raise DocumentUnusable(problems)
    return Document(people, departments, lists_people=about_people, lists_departments=not about_people)


def _rows(text: str, problems: list[Wrong]) -> Iterator[_Row]:
    """Give the header, then every other row by column, each with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: Sequence[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None:
                header = [cell.strip() for cell in cells]
                problems += _wrong_in_header(header)
                if problems:
                    return
                yield line, dict.fromkeys(header, "")
            elif len(cells) == len(header):
                yield line, dict(zip(header, (cell.strip() for cell in cells), strict=True))
            elif cells:  # an empty line says nothing
                problems.append(Wrong(f"line {line}", f"has {len(cells)} fields, the header {len(header)}"))
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(Wrong(f"line {line}", f"cannot be read as CSV ({error})"))
    if header is None and not problems:
        problems.append(Wrong("line 1", f"must be a header: {','.join(_PEOPLE)} or {','.join(_DEPARTMENTS)}"))


def _wrong_in_header(header: Sequence[str]) -> list[Wrong]:
    known = {*_PEOPLE, *_OPTIONAL}
    wanted = _PEOPLE if "employee" in header else _DEPARTMENTS
    allowed = (*_PEOPLE, *_OPTIONAL) if "employee" in header else _DEPARTMENTS
    if not known & set(header):  # perhaps a row of data, which nobody wants to read in a message
        said = f"must be the header: {','.join(_PEOPLE)} or {','.join(_DEPARTMENTS)}"
        by_others = {";", "\t"} & set("".join(header[:1]))
        return [Wrong("line 1", said + ("; fields are separated by commas" if by_others else ""))]
    problems = [Wrong("line 1", f"the column {name} is missing") for name in wanted if name not in header]
    for name in dict.fromkeys(header):
        if name not in allowed:
            problems.append(Wrong("line 1", f"there is no column {name[:40]!r}; there are {', '.join(allowed)}"))
        elif header.count(name) > 1:
            problems.append(Wrong("line 1", f"the column {name} is there twice"))
    return problems


def _named(
    rows: Iterable[_Row], column: str, problems: list[Wrong]
) -> Iterator[tuple[int, Mapping[str, str], str | None]]:
    """Check what names an entry, which is in a column, and what people call it; gives that too."""
    lines: dict[str, int] = {}
    for line, row in rows:
        id_, name = row[column], display_name(row["display_name"])
        if not is_valid_id(id_):
            problems.append(Wrong(f"line {line}, {column}", ID_WANTED))
        elif (before := lines.setdefault(id_, line)) != line:
            problems.append(Wrong(f"line {line}, {column}", f"is the same as on line {before}"))
        if not is_display_name(name):
            problems.append(Wrong(f"line {line}, display_name", NAME_WANTED))
        yield line, row, name


def _person(line: int, row: Mapping[str, str], name: str | None, problems: list[Wrong]) -> ListedPerson:
    active = _ACTIVE.get(row.get("active", "").lower())
    if active is None:
        problems.append(Wrong(f"line {line}, active", "must be true or false"))
    department = row["department"] or None
    return ListedPerson(row["employee"], name, department, active is True, f"line {line}, department")
