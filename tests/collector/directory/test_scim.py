"""Users and groups as identity providers write them, and which department is meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p402.collector.directory.departments import settle
from p402.collector.directory.entries import Document, DocumentUnusable, ListedDepartment
from p402.collector.directory.scim_document import EmployeeFrom, read_scim

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
JANE: dict[str, Any] = {  # after RFC 7643 §8.3
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
    "id": "2819c223",
    "externalId": "701984",
    "userName": "e-1042",
    "name": {"formatted": "Ms. Barbara J Jensen III", "givenName": "Barbara", "familyName": "Jensen"},
    "emails": [{"value": "bjensen@example.com", "type": "work"}],
    "active": True,
    ENTERPRISE: {"employeeNumber": "5", "department": "Tour Operations", "manager": {"value": "26118915"}},
}
GROUP: dict[str, Any] = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
    "id": "tours",
    "displayName": "Tour Operations",
    "members": [{"value": "2819c223", "display": "Barbara Jensen"}],
}


def read(*resources: dict[str, Any], by: EmployeeFrom = EmployeeFrom.USER_NAME) -> Document:
    return read_scim(json.dumps({"totalResults": len(resources), "Resources": resources}).encode(), by)


def problems(document: bytes, by: EmployeeFrom = EmployeeFrom.USER_NAME) -> list[str]:
    with pytest.raises(DocumentUnusable) as refused:
        read_scim(document, by)
    return [f"{one.place}: {one.detail}" for one in refused.value.problems]


def department_of(document: Document, **known: str | None) -> str | None:
    [person] = settle(document, known)
    return person.department


@pytest.mark.parametrize(
    ("by", "employee"),
    [
        (EmployeeFrom.USER_NAME, "e-1042"),
        (EmployeeFrom.EXTERNAL_ID, "701984"),
        (EmployeeFrom.EMPLOYEE_NUMBER, "5"),
        (EmployeeFrom.ID, "2819c223"),
    ],
)
def test_a_user_is_an_employee_by_the_attribute_that_is_chosen(by: EmployeeFrom, employee: str) -> None:
    [person] = read(JANE, by=by).people
    assert (person.employee, person.display_name, person.active) == (employee, "Ms. Barbara J Jensen III", True)


def test_names_of_attributes_have_no_case_and_a_list_or_one_resource_is_a_document_too() -> None:
    lower = {name.lower(): value for name, value in JANE.items()}
    for written in (lower, [lower], {"RESOURCES": [lower]}):
        [person] = read_scim(json.dumps(written).encode()).people
        assert person.employee == "e-1042"


def test_a_name_is_put_together_where_it_is_in_parts() -> None:
    parts = {**JANE, "name": {"givenName": "Barbara", "familyName": "Jensen"}}
    assert read(parts).people[0].display_name == "Barbara Jensen"
    assert read({**parts, "displayName": "Babs"}).people[0].display_name == "Babs"


def test_a_department_is_meant_by_id_by_display_name_or_is_new() -> None:
    assert department_of(read(JANE, GROUP)) == "tours"
    assert department_of(read(JANE), tours="Tour Operations") == "tours"
    assert department_of(read(JANE), **{"Tour Operations": None}) == "Tour Operations"
    assert department_of(read(JANE)) == "Tour Operations"


def test_a_display_name_of_several_departments_means_none_of_them() -> None:
    with pytest.raises(DocumentUnusable, match="say which of 'ops', 'tours'"):
        department_of(read(JANE, GROUP), ops="Tour Operations")


def test_who_has_no_department_has_that_of_their_group() -> None:
    nobody = {**JANE, ENTERPRISE: {}}
    assert department_of(read(nobody, GROUP)) == "tours"
    assert department_of(read(nobody, {**GROUP, "externalId": "t-7"})) == "t-7"
    assert department_of(read(nobody)) is None


def test_who_is_in_two_groups_must_have_a_department() -> None:
    other = {**GROUP, "id": "ops", "displayName": "Operations"}
    [told] = problems(json.dumps([{**JANE, ENTERPRISE: {}}, GROUP, other]).encode())
    assert told == "[0].department: is missing, and the user is in several groups: 'tours', 'ops'"
    assert department_of(read(JANE, GROUP, other)) == "tours"


def test_what_is_wrong_is_told_by_place_and_never_by_what_stands_there() -> None:
    wrong = {
        "Resources": [
            {**JANE, "userName": " x", "displayName": "Barbara"},
            {**JANE, "active": "yes"},
            JANE,
            {"schemas": ["urn:example:Device"], "userName": "Barbara"},
            "Barbara",
            {**GROUP, "id": None},
        ]
    }
    found = problems(json.dumps(wrong).encode())
    assert [one.partition(":")[0] for one in found] == [
        "Resources[4]", "Resources[3].schemas", "Resources[5].id", "Resources[0].userName", "Resources[1].active",
        "Resources[2].userName",
    ]  # fmt: skip
    assert "Barbara" not in " ".join(found)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b'{"Resources": 1}', b"1"])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    assert problems(text)


def test_a_page_of_a_longer_list_says_so() -> None:
    assert read_scim(json.dumps({"totalResults": 2, "Resources": [JANE]}).encode()).whole is False
    assert read(JANE).whole


def test_departments_have_names_and_their_members_need_not_be_known() -> None:
    document = read(GROUP)
    assert document.departments == [ListedDepartment("tours", "Tour Operations")]
    assert (document.lists_people, document.lists_departments) == (False, True)
