"""Policies of departments: every change is a new version, and the old ones stay."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select

from p402.collector.routing.schema import PolicyDefinition, policy_of_definition, read_policy
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.driver import driver
from p402.collector.storage.policy_tables import policies
from p402.collector.storage.rule_changes import rules_changed, rules_version
from p402.decisions import DEFAULT_POLICY, Policy

__all__ = [
    "DEFAULT_DEPARTMENT",
    "Policies",
    "PolicyChanged",
    "StoredPolicy",
    "change_policy",
    "current_policies",
    "current_policy",
    "newest_versions",
    "policy_of",
    "policy_versions",
]

DEFAULT_DEPARTMENT = ""
"""Stands for the departments that have no policy of their own, and for calls without a department."""

_MOST_REMEMBERED = 10_000  # departments

_NAME_OF_DEFAULT = "default"


class PolicyChanged(Exception):
    """The policy is at another version than the one that was to be changed."""

    def __init__(self, version: int) -> None:
        super().__init__(f"The policy is at version {version}.")
        self.version = version


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """One version of a department's policy."""

    organisation: str
    department: str
    """``""`` is the organisation's default."""
    version: int
    definition: PolicyDefinition | None
    """None: from here on the department has no policy of its own."""
    created_at: datetime
    created_by: str | None
    reason: str | None

    def policy(self) -> Policy | None:
        """Give the policy that applies."""
        if self.definition is None:
            return None
        return policy_of_definition(self.definition, self.department or _NAME_OF_DEFAULT, self.version)


def change_policy(
    connection: Connection,
    organisation: str,
    department: str,
    definition: PolicyDefinition | None,
    *,
    by: str | None,
    reason: str | None,
    at: datetime,
    expected: int | None = None,
) -> tuple[StoredPolicy, bool]:
    """Make a new version of a policy, or end it (None); what changes nothing makes none. Tells whether there was a change.

    Args:
        connection: in a change.
        organisation: whose department it is.
        department: ``""`` for the organisation's default.
        definition: what shall hold from now on.
        by: id of the API key.
        reason: why, for those who read the versions.
        at: when.
        expected: the version that the change is of; 0 if there is none yet.

    Raises:
        PolicyChanged: if it is at another version.
    """
    known = current_policy(connection, organisation, department, also_ended=True)
    version = known.version if known else 0
    if expected is not None and expected != version:
        raise PolicyChanged(version)
    if known is not None and known.definition == definition:
        return known, False
    made = StoredPolicy(
        organisation=organisation,
        department=department,
        version=version + 1,
        definition=definition,
        created_at=at,
        created_by=by,
        reason=reason,
    )
    connection.execute(
        insert(policies).values(
            organisation=organisation,
            department=department,
            version=made.version,
            definition=None if definition is None else json.dumps(definition.to_json(), separators=(",", ":")),
            created_at=to_millis(at),
            created_by=by,
            reason=reason,
        )
    )
    rules_changed(connection, organisation)
    return made, True


def current_policies(connection: Connection, organisation: str) -> list[StoredPolicy]:
    """Give the policies that an organisation has, the default first."""
    newest = (
        select(policies.c.department, func.max(policies.c.version).label("version"))
        .where(policies.c.organisation == organisation)
        .group_by(policies.c.department)
        .subquery()
    )
    query = (
        select(policies)
        .join(newest, (policies.c.department == newest.c.department) & (policies.c.version == newest.c.version))
        .where(policies.c.organisation == organisation, policies.c.definition.is_not(None))
        .order_by(policies.c.department)
    )
    return [_stored(row) for row in connection.execute(query)]


def current_policy(
    connection: Connection, organisation: str, department: str, *, also_ended: bool = False
) -> StoredPolicy | None:
    """Give the newest version of a department's own policy; None if it has none."""
    query = select(policies).where(*_of(organisation, department)).order_by(policies.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None or (row.definition is None and not also_ended):
        return None
    return _stored(row)


def policy_versions(
    connection: Connection, organisation: str, department: str, after: int, limit: int
) -> list[StoredPolicy]:
    """Give the next versions of a department's policy, the oldest first; those that ended it included."""
    query = select(policies).where(*_of(organisation, department), policies.c.version > after)
    return [_stored(row) for row in connection.execute(query.order_by(policies.c.version).limit(limit))]


def newest_versions(
    connection: Connection, organisation: str, department: str, before: int, limit: int
) -> list[StoredPolicy]:
    """Give the versions of a department's policy before one, the newest first; those that ended it included."""
    query = select(policies).where(*_of(organisation, department), policies.c.version < before)
    return [_stored(row) for row in connection.execute(query.order_by(policies.c.version.desc()).limit(limit))]


def policy_of(connection: Connection, organisation: str, department: str | None) -> Policy:
    """Give the policy that a department's calls are under: its own, else the organisation's default, else none."""
    for name in dict.fromkeys((department or DEFAULT_DEPARTMENT, DEFAULT_DEPARTMENT)):
        stored = current_policy(connection, organisation, name)
        if stored is not None and (policy := stored.policy()) is not None:
            return policy
    return DEFAULT_POLICY


class Policies:
    """A memory of policies, used inside changes: it asks for the version of the rules each time."""

    def __init__(self) -> None:
        self._remembered: dict[tuple[str, str | None], tuple[int, Policy]] = {}

    def forget(self) -> None:
        """Forget everything, as when a change is undone."""
        self._remembered.clear()

    def of(self, connection: Connection, organisation: str, department: str | None) -> Policy:
        """Give the same as `policy_of`."""
        version = rules_version(driver(connection), organisation)
        known = self._remembered.get((organisation, department))
        if known is not None and known[0] == version:
            return known[1]
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        policy = policy_of(connection, organisation, department)
        self._remembered[organisation, department] = version, policy
        return policy


def _of(organisation: str, department: str) -> tuple[ColumnElement[bool], ...]:
    return policies.c.organisation == organisation, policies.c.department == department


def _stored(row: Row[tuple[object, ...]]) -> StoredPolicy:
    return StoredPolicy(
        organisation=row.organisation,
        department=row.department,
        version=row.version,
        definition=None if row.definition is None else read_policy(json.loads(row.definition)),
        created_at=from_millis(row.created_at),
        created_by=row.created_by,
        reason=row.reason,
    )
