"""From what an identity provider says of somebody to what they may see."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from p402.collector.access.roles import SCOPES_OF, NoRole, claim_at, person_of
from p402.collector.oidc_settings import OidcSettings
from p402.collector.storage.keys import SCOPES
from p402.vocabulary import Attribution

GIVEN: dict[str, Any] = {
    "issuer": "https://login.example.com",
    "client_id": "p402",
    "employee_claim": "employee_number",
    "roles": {"controlling": "finance", "heads": "head", "staff": "employee", "audit": "auditor"},
}
SETTINGS = OidcSettings(**GIVEN)


def test_every_role_has_scopes_that_exist() -> None:
    assert set().union(*SCOPES_OF.values()) <= set(SCOPES)
    assert [role for role, scopes in SCOPES_OF.items() if "admin" in scopes] == ["admin"]


def test_of_several_roles_the_one_that_is_written_first_counts() -> None:
    claims = {"sub": "u-1", "groups": ["staff", "audit", "controlling"], "name": "Fiona", "employee_number": "e-7"}
    person = person_of(claims, SETTINGS, "acme")
    assert (person.role, person.known_as, person.name) == ("finance", "e-7", "Fiona")
    assert person.bound_to == Attribution(organisation="acme")


def test_a_head_is_bound_to_their_department_and_an_employee_to_themselves() -> None:
    head = person_of({"sub": "u-2", "groups": "heads", "department": "legal"}, SETTINGS, "acme")
    assert (head.bound_to, head.known_as, head.name) == (
        Attribution(organisation="acme", department="legal"),
        "u-2",
        "u-2",
    )
    employee = person_of({"sub": "u-3", "groups": ["staff"], "employee_number": "e-9"}, SETTINGS, "acme")
    assert employee.bound_to == Attribution(organisation="acme", employee="e-9")


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"groups": ["visitors"]}, "has no role here"),
        ({"groups": [["controlling"]]}, "has no role here"),
        ({"groups": {"controlling": True}}, "has no role here"),
        ({}, "has no role here"),
        ({"groups": ["heads"]}, "of which department"),
        ({"groups": ["heads"], "department": ["legal", "sales"]}, "of which department"),
        ({"groups": ["heads"], "department": ""}, "of which department"),
        ({"groups": ["staff"]}, "of which employee"),
        ({"groups": ["staff"], "employee_number": 7}, "of which employee"),
    ],
)
def test_whoever_cannot_be_placed_is_refused(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(NoRole, match=why):
        person_of({"sub": "u-1", **claims}, SETTINGS, "acme")


def test_the_organisation_comes_from_a_claim_if_the_settings_name_one() -> None:
    settings = OidcSettings(**GIVEN, organisation_claim="tenant.id")
    claims = {"sub": "u-1", "groups": ["audit"], "tenant": {"id": "initech"}}
    assert person_of(claims, settings, "acme").bound_to == Attribution(organisation="initech")
    with pytest.raises(NoRole, match="of which organisation"):
        person_of({"sub": "u-1", "groups": ["audit"]}, settings, "acme")


def test_a_claim_may_lie_in_an_object_and_may_have_dots_in_its_name() -> None:
    claims = {"realm_access": {"roles": ["a"]}, "https://acme.example/roles": ["b"], "x": "y"}
    assert claim_at(claims, "realm_access.roles") == ["a"]
    assert claim_at(claims, "https://acme.example/roles") == ["b"]
    assert claim_at(claims, "x.y") is None
    assert claim_at(claims, "none.at.all") is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"issuer": "http://login.example.com"}, "an issuer looks like"),
        ({"issuer": "https://user@login.example.com"}, "an issuer looks like"),
        ({"issuer": "https://login.example.com/?a=b"}, "an issuer looks like"),
        ({"roles": {}}, "nobody can sign in"),
        ({"roles": {"x": "king"}}, "'admin', 'finance', 'head', 'employee' or 'auditor'"),
        ({"employee_claim": None}, "needs employee_claim"),
        ({"scopes": ["profile"]}, "must have openid"),
        ({"client_secret": "x"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        OidcSettings(**{**GIVEN, **changed})


def test_a_provider_of_this_machine_needs_no_tls() -> None:
    for issuer in ("http://127.0.0.1:9000", "http://[::1]:9000/x", "http://localhost:9000"):
        assert OidcSettings(**{**GIVEN, "issuer": issuer}).issuer == issuer
