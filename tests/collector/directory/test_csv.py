"""CSV files of people and of departments: what is read, and how everything that is wrong is told at once."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.collector.directory.csv_document import read_csv
from p402.collector.directory.entries import DocumentUnusable, ListedDepartment
from p402.vocabulary import is_valid_id

HEADER = "employee,display_name,department\n"


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(DocumentUnusable) as refused:
        read_csv(text if isinstance(text, bytes) else text.encode())
    return [f"{one.place}: {one.detail}" for one in refused.value.problems]


def test_people_are_read_in_any_order_of_columns_with_a_mark_at_the_beginning() -> None:
    text = 'active,department,display_name,employee\r\nno,legal,"Doe, Jane ""JD""",e-1\r\n,,,e-2\r\n\r\n'
    document = read_csv(text.encode("utf-8-sig"))
    jane, other = document.people
    assert (jane.employee, jane.display_name, jane.department, jane.active) == ("e-1", 'Doe, Jane "JD"', "legal", False)
    assert (other.employee, other.display_name, other.department, other.active) == ("e-2", None, None, True)
    assert (document.lists_people, document.lists_departments) == (True, False)


def test_a_header_without_employees_is_one_of_departments() -> None:
    document = read_csv(b"department,display_name\nlegal,Legal &  Compliance\nops,\n")
    assert document.departments == [ListedDepartment("legal", "Legal & Compliance"), ListedDepartment("ops", None)]


def test_all_that_is_wrong_is_told_with_line_and_column_and_nothing_that_stands_there() -> None:
    text = (
        HEADER.replace("\n", ",active\n")
        + 'e-1,"Jane\nDoe",legal,yes\n'  # a field of two lines
        + "e-1,Jane,legal,perhaps\n"
        + ",Secret\u202eName,legal,\n"
        + "e-3,Too,many,fields,here\n"
    )
    found = problems(text)
    assert [one.partition(":")[0] for one in found] == [
        "line 4, employee", "line 4, active", "line 5, employee", "line 5, display_name", "line 6",
    ]  # fmt: skip
    assert found[0].endswith("is the same as on line 2")
    assert not any(name in " ".join(found) for name in ("Jane", "Secret", "perhaps"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a header"),
        ("Jane Doe,jane@acme.example\n", "must be the header"),
        ("employee;display_name;department\n", "separated by commas"),
        ("employee,display_name,department,phone\n", "there is no column 'phone'"),
        ("employee,display_name\n", "the column department is missing"),
        ("employee,display_name,department,employee\n", "the column employee is there twice"),
        (HEADER + 'e-1,"Jane', "cannot be read as CSV"),
        (HEADER.encode() + b"e-1,J\xe4n,legal\n", "line 2: is not UTF-8"),
        (HEADER.encode("utf-16"), "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_such_file_is_told_what_it_lacks(text: str | bytes, told: str) -> None:
    assert any(told in one for one in problems(text)), problems(text)


def test_of_very_many_mistakes_the_first_are_told_and_the_others_counted() -> None:
    with pytest.raises(DocumentUnusable, match=r"line 51, employee: .*; and 150 more\.$") as refused:
        read_csv((HEADER + ",,\n" * 200).encode())
    assert len(refused.value.problems) == 50


NAMES = st.text(st.characters(codec="utf-8"), max_size=40)


@given(st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=20))
def test_whatever_is_written_as_csv_is_read_or_refused_and_ids_are_ids(rows: list[tuple[str, str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([HEADER.strip().split(","), *rows])
    try:
        document = read_csv(file.getvalue().encode())
    except DocumentUnusable:
        return
    assert all(is_valid_id(one.employee) for one in document.people)
    assert [one.employee for one in document.people] == [employee.strip() for employee, _, _ in rows]
