"""What people are here: from the claims of their identity provider to a role, and from a role to scopes (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from p402.collector.oidc_settings import OidcSettings, Role
from p402.vocabulary import Attribution, Permanent, is_valid_id

__all__ = ["SCOPES_OF", "NoRole", "Person", "claim_at", "person_of"]

SCOPES_OF: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "admin": frozenset({"admin"}),
        "finance": frozenset({"spend:read", "receipts:read", "exports", "review", "budgets:write"}),
        "head": frozenset({"spend:read", "receipts:read", "review"}),
        "employee": frozenset({"spend:read", "receipts:read"}),
        "auditor": frozenset({"spend:read", "receipts:read", "receipts:personal", "exports", "holds"}),
    }
)
"""By role. A head is bound to a department, an employee to their own calls."""

_LONGEST_NAME = 200


class NoRole(Permanent):
    """Somebody is known to the identity provider, but is nobody here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who signs in at the identity provider."""

    subject: str
    """Who they are there (claim ``sub``)."""
    known_as: str
    """Who they are here: the id that spans have of them as an employee, else the subject."""
    name: str
    """For people to read."""
    role: Role
    bound_to: Attribution


def person_of(claims: Mapping[str, Any], settings: OidcSettings, default_organisation: str) -> Person:
    """Tell who somebody is from what the identity provider says of them.

    Raises:
        NoRole: if no value of the role's claim means anything here, or a level is missing that the role is bound to.
    """
    said = _texts(claim_at(claims, settings.role_claim))
    role = next((role for value, role in settings.roles.items() if value in said), None)
    if role is None:
        raise NoRole(
            f"Your account has no role here: its claim {settings.role_claim!r} names none of the groups that have one."
        )
    organisation = default_organisation
    if settings.organisation_claim is not None:
        organisation = _id(claims, settings.organisation_claim, "organisation")
    department = _id(claims, settings.department_claim, "department") if role == "head" else None
    employee = None
    if settings.employee_claim is not None and (role == "employee" or claim_at(claims, settings.employee_claim)):
        employee = _id(claims, settings.employee_claim, "employee")
    subject = str(claims["sub"])
    name = next(iter(_texts(claim_at(claims, settings.name_claim))), "") or employee or subject
    return Person(
        subject=subject,
        known_as=employee or subject,
        name="".join(letter for letter in name if letter.isprintable())[:_LONGEST_NAME],
        role=role,
        bound_to=Attribution(
            organisation=organisation, department=department, employee=employee if role == "employee" else None
        ),
    )


def claim_at(claims: Mapping[str, Any], name: str) -> Any:
    """Give a claim by its name, or by the names that lead to it: ``realm_access.roles``; None if there is none."""
    if name in claims:
        return claims[name]
    first, dot, rest = name.partition(".")
    inner = claims.get(first)
    return claim_at(inner, rest) if dot and isinstance(inner, Mapping) else None


def _id(claims: Mapping[str, Any], claim: str, level: str) -> str:
    value = claim_at(claims, claim)
    if not isinstance(value, str) or not is_valid_id(value):
        raise NoRole(f"Your account does not say of which {level} you are: its claim {claim!r} must be one id.")
    return value


def _texts(value: Any) -> list[str]:
    """Give the texts of a claim, which providers write as one or as a list."""
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]
