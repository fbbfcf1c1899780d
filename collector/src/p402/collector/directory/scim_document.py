"""Users and groups in SCIM's shapes (pure): a ListResponse, a list of resources, or one of them; a group is a department.

Sources: RFC 7643 §4.1, §4.2 and §4.3, RFC 7644 §3.4.2. Names of attributes have no case (RFC 7643 §2.1); what is not
known is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from p402.collector.directory.csv_document import ID_WANTED, NAME_WANTED
from p402.collector.directory.entries import (
    Document,
    DocumentUnusable,
    ListedDepartment,
    ListedPerson,
    Wrong,
    display_name,
    is_display_name,
)
from p402.vocabulary import is_valid_id

__all__ = ["EmployeeFrom", "read_scim"]

_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user"
_USER, _GROUP = "urn:ietf:params:scim:schemas:core:2.0:user", "urn:ietf:params:scim:schemas:core:2.0:group"


class EmployeeFrom(StrEnum):
    """The attribute of a user that is the id by which calls name them."""

    USER_NAME = "userName"
    EXTERNAL_ID = "externalId"
    EMPLOYEE_NUMBER = "employeeNumber"
    """Of the enterprise extension."""
    ID = "id"


@dataclass(frozen=True, slots=True)
class _Resource:
    """A user or a group, with the names of its attributes in lower case."""

    place: str
    attributes: Mapping[str, Any]

    def text(self, name: str) -> str | None:
        """Give an attribute that is a text, or a number that stands for one."""
        return _text(self.attributes.get(name.lower()))

    def part(self, name: str) -> Mapping[str, Any]:
        """Give a complex attribute; empty if it is missing."""
        value = self.attributes.get(name.lower())
        return _lowered(value) if isinstance(value, dict) else {}

    def at(self, name: str) -> str:
        """Name the place of an attribute."""
        return f"{self.place}.{name}" if self.place else name


@dataclass(slots=True)
class _Reading:
    """What was read so far."""

    problems: list[Wrong] = field(default_factory=list)
    people: dict[str, ListedPerson] = field(default_factory=dict)
    departments: dict[str, ListedDepartment] = field(default_factory=dict)
    groups_of: dict[str, list[str]] = field(default_factory=dict)
    """Departments by the ``id`` of a user that is their member."""

    def wrong(self, place: str, detail: str) -> None:
        self.problems.append(Wrong(place, detail))


def read_scim(data: bytes, employee_from: EmployeeFrom = EmployeeFrom.USER_NAME) -> Document:
    """Read resources.

    Args:
        data: JSON.
        employee_from: which attribute of a user is the employee's id.

    Raises:
        DocumentUnusable: naming resource and attribute of all that is wrong.
    """
    try:
        said = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:  # whose message quotes nothing of the document
        at = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "the document"
        raise DocumentUnusable([Wrong(at, "is not JSON in UTF-8")]) from error
    except RecursionError as error:
        raise DocumentUnusable([Wrong("the document", "is nested too deeply")]) from error
    reading = _Reading()
    resources, whole = _resources(said, reading)
    kinds = [(resource, _kind(resource)) for resource in resources]
    users = [resource for resource, kind in kinds if kind == _USER]
    groups = [resource for resource, kind in kinds if kind == _GROUP]
    for resource, kind in kinds:
        if kind not in (_USER, _GROUP):
            reading.wrong(resource.at("schemas"), "names neither a User nor a Group")
    for group in groups:
        _read_group(group, reading)
    for user in users:
        _read_user(user, employee_from, reading)
    if reading.problems:
        raise DocumentUnusable(reading.problems)
    people, departments = list(reading.people.values()), list(reading.departments.values())
    return Document(people, departments, bool(users), bool(groups), whole)


def _resources(said: Any, reading: _Reading) -> tuple[list[_Resource], bool]:
    """Give the resources of a document, and whether they are all that there are."""
    whole = True
    if isinstance(said, dict):
        response = _lowered(said)
        if "resources" not in response:
            return [_Resource("", response)], whole
        total, said = response.get("totalresults"), response["resources"]
        prefix = "Resources"
        whole = not isinstance(total, int) or not isinstance(said, list) or total <= len(said)
    else:
        prefix = ""
    if not isinstance(said, list):
        reading.wrong(prefix or "the document", "must be a list of resources, a ListResponse, or one resource")
        return [], whole
    found = []
    for number, item in enumerate(said):
        place = f"{prefix}[{number}]"
        if isinstance(item, dict):
            found.append(_Resource(place, _lowered(item)))
        else:
            reading.wrong(place, "must be an object")
    return found, whole


def _kind(resource: _Resource) -> str | None:
    """Tell what a resource is: by its schemas, else by its type, else by what only one of the two has."""
    schemas = resource.attributes.get("schemas")
    named = {one.lower() for one in schemas if isinstance(one, str)} if isinstance(schemas, list) else set()
    by_type = {"user": _USER, "group": _GROUP}.get(str(_text(resource.part("meta").get("resourcetype"))).lower())
    for kind in (_USER, _GROUP):
        if kind in named or (not named and kind == by_type):
            return kind
    if named or by_type:
        return None
    return _USER if "username" in resource.attributes else _GROUP if "members" in resource.attributes else None


def _read_group(group: _Resource, reading: _Reading) -> None:
    attribute = "externalId" if group.text("externalId") else "id"
    id_, name = group.text(attribute), display_name(group.text("displayName"))
    if id_ is None or not is_valid_id(id_):
        reading.wrong(group.at(attribute), ID_WANTED)
        return
    if not is_display_name(name):
        reading.wrong(group.at("displayName"), NAME_WANTED)
    if id_ in reading.departments:
        reading.wrong(group.at(attribute), "is that of another group too")
    reading.departments[id_] = ListedDepartment(id_, name)
    for member in _list(group.attributes.get("members")):
        user = _text(_lowered(member).get("value")) if isinstance(member, dict) else None
        if user is not None:
            reading.groups_of.setdefault(user, []).append(id_)


def _read_user(user: _Resource, employee_from: EmployeeFrom, reading: _Reading) -> None:
    enterprise = user.part(_ENTERPRISE)
    if employee_from is EmployeeFrom.EMPLOYEE_NUMBER:
        employee = _text(enterprise.get("employeenumber"))
    else:
        employee = user.text(employee_from.value)
    at = user.at(employee_from.value)
    name, active = display_name(_name_of(user)), user.attributes.get("active", True)
    if employee is None or not is_valid_id(employee):
        reading.wrong(at, ID_WANTED)
        return
    if employee in reading.people:
        reading.wrong(at, "is that of another user too")
    if not is_display_name(name):
        reading.wrong(user.at("displayName"), NAME_WANTED)
    if not isinstance(active, bool):
        reading.wrong(user.at("active"), "must be true or false")
    department = " ".join((_text(enterprise.get("department")) or "").split()) or None
    place = user.at("department")
    if department is None:
        groups = list(dict.fromkeys(reading.groups_of.get(user.text("id") or "", ())))
        if len(groups) > 1:
            named = ", ".join(repr(group[:40]) for group in groups)
            reading.wrong(place, f"is missing, and the user is in several groups: {named}")
        department, place = next(iter(groups), None), user.at("groups")
    reading.people[employee] = ListedPerson(employee, name, department, active is True, place)


def _name_of(user: _Resource) -> str | None:
    name = user.part("name")
    put_together = " ".join(filter(None, (_text(name.get("givenname")), _text(name.get("familyname")))))
    return user.text("displayName") or _text(name.get("formatted")) or put_together


def _lowered(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in item.items()}


def _list(value: Any) -> Iterator[Any]:
    items: Sequence[Any] = value if isinstance(value, list) else ()
    return iter(items)


def _text(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None
