"""The identity provider that people sign in at: the table ``[oidc]`` of the configuration file."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = ["OidcSettings", "Role", "is_safe_address"]

Role: TypeAlias = Literal["admin", "finance", "head", "employee", "auditor"]
"""What a person is here; `access.roles` says what each may."""

_Name = Annotated[str, Field(min_length=1, max_length=256)]


def is_safe_address(url: str) -> bool:
    """Tell whether an address can be asked without a stranger listening in: by TLS, or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.username is not None or not host:
            return False
        return parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))
    except ValueError:  # such as an address whose bracket is never closed
        return False


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _issuer(url: str) -> str:
    parts = urlsplit(url)
    if not is_safe_address(url) or parts.query or parts.fragment:
        raise ValueError("an issuer looks like https://login.example.com/realms/acme; http is for this machine only")
    return url


class OidcSettings(BaseModel):
    """One provider, and what its claims mean here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[str, AfterValidator(_issuer)]
    client_id: _Name
    client_secret_file: Path | None = None
    """Unset: a public client, which PKCE alone protects."""
    label: Annotated[str, Field(min_length=1, max_length=80)] = "Sign in with your organisation's account"
    """What the button says."""
    scopes: tuple[_Name, ...] = ("openid", "profile", "email")
    role_claim: _Name = "groups"
    """Names of claims may lead into objects: ``realm_access.roles``."""
    roles: dict[str, Role]
    """By value of the claim; of several that fit, the one that is written first."""
    organisation_claim: _Name | None = None
    """Unset: everybody is of the default organisation."""
    department_claim: _Name = "department"
    employee_claim: _Name | None = None
    """Holds the id that spans have of an employee."""
    name_claim: _Name = "name"

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        if not self.roles:
            raise ValueError("roles must say which value of the claim means which role, or nobody can sign in")
        if "employee" in self.roles.values() and self.employee_claim is None:
            raise ValueError("the role employee needs employee_claim: it says whose spend such a person sees")
        if "openid" not in self.scopes:
            raise ValueError("scopes must have openid")
        return self

    def read_secret(self) -> str | None:
        """Read the client's secret.

        Raises:
            ValueError, OSError: if the file is not as it must be.
        """
        if self.client_secret_file is None:
            return None
        secret = self.client_secret_file.read_text(encoding="utf-8").strip()
        if not secret or not secret.isprintable():
            raise ValueError("the file of the client's secret must hold one line, the secret")
        return secret
