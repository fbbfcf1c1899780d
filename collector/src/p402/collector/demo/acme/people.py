"""Who works at Acme: departments, their projects and clients, and a hundred people (pure; the seed decides the names)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

__all__ = ["DEPARTMENTS", "ORGANISATION", "Department", "Person", "Project", "directory", "people"]

ORGANISATION = "acme"

_USER, _GROUP = "urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:core:2.0:Group"
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


@dataclass(frozen=True, slots=True)
class Project:
    """Something that people work for."""

    id: str
    weight: int
    """How much of the department's work it is, beside the others."""
    clients: tuple[str, ...] = ()
    """Who pays for it, by turns; nobody: Acme itself."""


@dataclass(frozen=True, slots=True)
class Department:
    """A cost centre."""

    id: str
    name: str
    first_employee: int
    """The number of the first of its employees: ids are opaque, but people of one department sit together."""
    size: int
    sessions_per_day: float
    """Of one employee, on an ordinary working day."""
    tasks: Mapping[str, int]
    """How often they do what, beside the others; see `tasks`."""
    projects: tuple[Project, ...]
    data_class: str | None = None
    """Of all its work, where that is confidential in a way of its own."""


@dataclass(frozen=True, slots=True)
class Person:
    """An employee."""

    id: str
    name: str
    department: Department
    diligence: float
    """How much of the department's ordinary day they do."""


DEPARTMENTS: tuple[Department, ...] = (
    Department(
        "engineering",
        "Engineering",
        3101,
        38,
        3.6,
        {"code_completion": 60, "debugging": 17, "complex_code_review": 17, "summarisation": 4},
        (
            Project("search", 4),
            Project("payments", 4),
            Project("mobile-app", 3),
            Project("northwind-migration", 3, ("northwind",)),
        ),
    ),
    Department(
        "support",
        "Customer Support",
        5001,
        14,
        2.8,
        {"support_reply": 72, "classification": 18, "summarisation": 10},
        (Project("helpdesk", 5), Project("managed-service", 4, ("globex", "initech", "umbra"))),
    ),
    Department(
        "sales",
        "Sales",
        4001,
        12,
        3.6,
        {"email_drafting": 68, "summarisation": 22, "extraction": 10},
        (Project("pipeline", 3), Project("key-accounts", 2)),
    ),
    Department(
        "marketing",
        "Marketing",
        2001,
        10,
        3.5,
        {"content_generation": 80, "translation": 10, "summarisation": 10},
        (Project("spring-campaign", 4), Project("website", 2), Project("events", 1)),
    ),
    Department(
        "legal",
        "Legal",
        1041,
        8,
        2.7,
        {"contract_analysis": 74, "summarisation": 14, "extraction": 12},
        (Project("contract-desk", 5, ("northwind", "globex", "tailspin", "umbra")), Project("compliance", 2)),
        "confidential",
    ),
    Department(
        "finance",
        "Finance",
        6001,
        8,
        3.6,
        {"financial_qa": 82, "extraction": 18},
        (Project("closing", 3), Project("planning", 2)),
    ),
    Department(
        "research",
        "Research",
        7001,
        6,
        2.6,
        {"research_analysis": 74, "code_completion": 26},
        (Project("trends", 3), Project("agent-lab", 2)),
    ),
    Department(
        "people",
        "People",
        8001,
        4,
        2.0,
        {"email_drafting": 55, "summarisation": 45},
        (Project("hiring", 1),),
        "personal",
    ),
)

_FIRST = [
    "Ada",
    "Alan",
    "Amara",
    "Anton",
    "Beate",
    "Carlos",
    "Chidi",
    "Clara",
    "Dmitri",
    "Elena",
    "Emre",
    "Esther",
    "Farid",
    "Fatima",
    "Grace",
    "Hana",
    "Hugo",
    "Ines",
    "Ivan",
    "Jana",
    "Joao",
    "Kenji",
    "Lena",
    "Leo",
    "Lucia",
    "Magnus",
    "Maya",
    "Milan",
    "Nadia",
    "Noah",
    "Olga",
    "Omar",
    "Paula",
    "Priya",
    "Rafael",
    "Rosa",
    "Samir",
    "Sofia",
    "Tomas",
    "Yara",
]
_LAST = [
    "Abadi",
    "Becker",
    "Bianchi",
    "Castro",
    "Chen",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ito",
    "Jansen",
    "Kaya",
    "Kowalski",
    "Larsen",
    "Lindqvist",
    "Mensah",
    "Moreau",
    "Nakamura",
    "Novak",
    "Okafor",
    "Petrov",
    "Rossi",
    "Sato",
    "Schmidt",
    "Silva",
    "Tanaka",
    "Weber",
    "Yilmaz",
]


def people(seed: int) -> Sequence[Person]:
    """Give the hundred employees."""
    random = Random(f"{seed} people")
    names: dict[str, None] = {}
    while len(names) < sum(department.size for department in DEPARTMENTS):
        names[f"{random.choice(_FIRST)} {random.choice(_LAST)}"] = None
    named = iter(names)
    return [
        Person(f"e-{department.first_employee + number}", next(named), department, random.uniform(0.7, 1.3))
        for department in DEPARTMENTS
        for number in range(department.size)
    ]


def directory(seed: int) -> Mapping[str, Any]:
    """Give people and departments as an identity provider exports them (SCIM, RFC 7644 §3.4.2)."""
    users = [
        {
            "schemas": [_USER, _ENTERPRISE],
            "userName": person.id,
            "displayName": person.name,
            "active": True,
            _ENTERPRISE: {"department": person.department.id},
        }
        for person in people(seed)
    ]
    groups = [{"schemas": [_GROUP], "id": one.id, "displayName": one.name} for one in DEPARTMENTS]
    return {"schemas": [_LIST], "totalResults": len(users) + len(groups), "Resources": [*users, *groups]}
