"""A real OpenID Connect provider on this machine, with people of every role."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.ports import steady_port

_SCRIPT = Path(__file__).with_suffix(".mjs")
CLIENT_ID = "p402"
SECRET = "a secret of ninety characters: it has / and + and % in it, which must survive the way there"

PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "u-fiona": {"name": "Fiona Finance", "groups": ["staff", "controlling"]},
    "u-hedy": {"name": "Hedy Head", "groups": ["heads"], "department": "legal"},
    "u-emil": {"name": "Emil Employee", "groups": ["staff"], "employee_number": "e-1042"},
    "u-aude": {"name": "Aude Auditor", "groups": ["audit"]},
    "u-adam": {"name": "Adam Admin", "groups": ["p402-admins"]},
    "u-nobody": {"name": "Nobody", "groups": ["visitors"]},
    "u-lost": {"name": "Head of Nothing", "groups": ["heads"]},
}
ROLES = {"p402-admins": "admin", "controlling": "finance", "heads": "head", "audit": "auditor", "staff": "employee"}


@contextmanager
def identity_provider(collector_url: str, *, claims_in_id_token: bool = False) -> Iterator[str]:
    """Run the provider until the block ends; gives its issuer.

    Args:
        collector_url: where the collector listens, or will.
        claims_in_id_token: whether the ID token has all claims; else they come from UserInfo.
    """
    node = shutil.which("node")
    assert node, "Node.js is missing: .ci/install needs it too."
    client = {
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "redirect_uris": [f"{collector_url}/sign-in/oidc/callback"],
    }
    settings = {"client": client, "people": PEOPLE, "claimsInIdToken": claims_in_id_token}
    process = subprocess.Popen(
        [node, str(_SCRIPT), str(steady_port()), json.dumps(settings)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        issuer = process.stdout.readline().strip()
        assert issuer, "The identity provider did not start; is tests/node_modules as tests/package.json says?"
        yield issuer
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


def configuration(folder: Path, issuer: str) -> Path:
    """Write the table [oidc] for it; gives the file."""
    secret = folder / "oidc.secret"
    secret.write_text(SECRET + "\n")
    file = folder / "p402.toml"
    file.write_text(
        "\n".join(
            [
                "[oidc]",
                f"issuer = {json.dumps(issuer)}",
                f"client_id = {json.dumps(CLIENT_ID)}",
                f"client_secret_file = {json.dumps(str(secret))}",
                'employee_claim = "employee_number"',
                "[oidc.roles]",
                *(f"{json.dumps(group)} = {json.dumps(role)}" for group, role in ROLES.items()),
            ]
        )
    )
    return file
