"""Policies in the database: each change a version, nothing rewritten, and who decides hears of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from p402.collector.routing.schema import PolicyDefinition, read_policy
from p402.collector.storage.policies import (
    DEFAULT_DEPARTMENT,
    Policies,
    PolicyChanged,
    StoredPolicy,
    change_policy,
    current_policies,
    current_policy,
    policy_of,
    policy_versions,
)
from p402.decisions import DEFAULT_POLICY, Tier
from support.databases import kept_in

NOW = datetime(2026, 5, 15, 9, tzinfo=UTC)
ECONOMY, PREMIUM = read_policy({"max_tier": "economy"}), read_policy({"min_tier": "premium"})


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = kept_in(tmp_path).backend().engine
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def change(
    connection: Connection, department: str, definition: PolicyDefinition | None, expected: int | None = None
) -> tuple[StoredPolicy, bool]:
    return change_policy(
        connection, "acme", department, definition, by="key_1", reason="because", at=NOW, expected=expected
    )


def test_every_change_is_a_version_and_the_old_ones_stay(connection: Connection) -> None:
    for definition in (ECONOMY, PREMIUM, None, ECONOMY):
        change(connection, "legal", definition)
    found = policy_versions(connection, "acme", "legal", 0, 10)
    assert [(stored.version, stored.definition) for stored in found] == [
        (1, ECONOMY),
        (2, PREMIUM),
        (3, None),
        (4, ECONOMY),
    ]
    assert (found[0].created_at, found[0].created_by, found[0].reason) == (NOW, "key_1", "because")
    assert [stored.version for stored in policy_versions(connection, "acme", "legal", 2, 1)] == [3]
    assert current_policy(connection, "acme", "legal") == found[3]


def test_what_changes_nothing_makes_no_version(connection: Connection) -> None:
    assert change(connection, "legal", ECONOMY)[1]
    stored, changed = change(connection, "legal", ECONOMY)
    assert (stored.version, changed) == (1, False)


def test_a_change_of_another_version_than_the_one_in_force_is_refused(connection: Connection) -> None:
    change(connection, "legal", ECONOMY, expected=0)
    with pytest.raises(PolicyChanged) as refusal:
        change(connection, "legal", PREMIUM, expected=0)
    assert refusal.value.version == 1
    change(connection, "legal", PREMIUM, expected=1)


def test_a_department_without_a_policy_has_the_organisation_s_and_else_none(connection: Connection) -> None:
    assert policy_of(connection, "acme", "legal") is DEFAULT_POLICY
    change(connection, DEFAULT_DEPARTMENT, ECONOMY)
    change(connection, "legal", PREMIUM)
    of_legal, of_sales, of_nobody = (policy_of(connection, "acme", name) for name in ("legal", "sales", None))
    assert (of_legal.name, of_legal.version, of_legal.min_tier) == ("legal", 1, Tier.PREMIUM)
    assert (of_sales.name, of_sales.max_tier) == ("default", Tier.ECONOMY)
    assert of_nobody == of_sales
    change(connection, "legal", None)
    assert policy_of(connection, "acme", "legal") == of_sales
    assert policy_of(connection, "initech", "legal") is DEFAULT_POLICY
    assert [stored.department for stored in current_policies(connection, "acme")] == [DEFAULT_DEPARTMENT]


def test_what_is_remembered_is_forgotten_when_the_rules_change(connection: Connection) -> None:
    remembered = Policies()
    assert remembered.of(connection, "acme", "legal") is DEFAULT_POLICY
    change(connection, "legal", ECONOMY)
    first = remembered.of(connection, "acme", "legal")
    assert first.max_tier is Tier.ECONOMY
    assert remembered.of(connection, "acme", "legal") is first
    change(connection, DEFAULT_DEPARTMENT, PREMIUM)
    assert remembered.of(connection, "acme", "sales").min_tier is Tier.PREMIUM
