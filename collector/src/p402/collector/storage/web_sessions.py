"""Sessions of people at the pages: begun at sign-in, found by the token of a cookie, of which a digest is kept.

A session stands for an API key, and is worth what the key is worth at that moment; or for somebody whom the identity
provider knows. It ends at sign-out, when its key is revoked, after a time without use, and at a certain age.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, insert, select, update

from p402.collector.access.roles import Person
from p402.collector.storage.audit import record_audit
from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import Driver, driver
from p402.collector.storage.keys import ApiKey, digest_of_secret, key_of
from p402.collector.storage.rule_changes import RULES_TOPIC
from p402.collector.storage.signals import signal
from p402.collector.storage.suppressions import Suppressions
from p402.collector.storage.tables import api_keys
from p402.collector.storage.web_session_tables import web_sessions
from p402.vocabulary import Attribution, IdFactory, Transient

__all__ = ["WebSession", "WebSessions", "forget_person"]

_USE_NOTED_EVERY = timedelta(minutes=1)
_LEVELS = ("organisation", "department", "employee")

_THEIRS = (
    "(organisation = ? AND (known_as = ? OR subject = ? OR employee = ?)) OR key_id IN"
    " (SELECT id FROM api_keys WHERE (organisation = ? OR organisation IS NULL) AND employee = ?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSession:
    """A session that is under way."""

    id: str
    key: ApiKey | None
    """That it stands for; None: it stands for a person."""
    role: str | None
    """Of the person."""
    known_as: str | None
    """The person's id here."""
    name: str
    """Of the key or the person, for people to read."""
    bound_to: Attribution
    created_at: datetime
    expires_at: datetime
    """If it is used until then."""


class WebSessions:
    """The sessions of a collector's pages."""

    def __init__(
        self, database: Database, suppressions: Suppressions, new_id: IdFactory, *, idle: timedelta, longest: timedelta
    ) -> None:
        """Keep sessions in a database.

        Args:
            database: where they are.
            suppressions: names that were erased, and come back as pseudonyms.
            new_id: makes ids.
            idle: time without use after which a session is over.
            longest: age at which it is over.
        """
        self._database = database
        self._suppressions = suppressions
        self._new_id = new_id
        self._idle = idle
        self.longest = longest

    async def begin_for_key(self, key: ApiKey, at: datetime) -> str:
        """Begin a session that stands for a key; gives the token of the cookie, which is never shown again."""
        token, row = self._fresh(at)
        row |= {"key_id": key.id}
        await self._database.write(lambda connection: connection.execute(insert(web_sessions).values(row)).rowcount)
        return token

    async def begin_for_person(self, person: Person, at: datetime) -> str:
        """Begin a session of somebody whom the identity provider knows, and note that in the audit trail."""
        token, fresh = self._fresh(at)
        organisation = person.bound_to.organisation or ""

        def begin(connection: Connection) -> None:
            sql = driver(connection)
            known = self._known_now(sql, person, at)
            levels = {level: getattr(known.bound_to, level) for level in _LEVELS}
            who = {"role": known.role, "subject": known.subject, "known_as": known.known_as, "name": known.name}
            connection.execute(insert(web_sessions).values(fresh | who | levels))
            record_audit(
                sql,
                organisation,
                actor=str(fresh["id"]),
                action="person.signed_in",
                subject=str(fresh["id"]),
                detail={"employee": known.known_as, "role": known.role, "department": known.bound_to.department},
                at=at,
            )

        await self._database.write(begin)
        return token

    async def find(self, token: str, at: datetime, *, use: bool = True) -> WebSession | None:
        """Give the session of a token, unless it is over.

        Args:
            token: of the cookie.
            at: now.
            use: whether this counts as use of the session.
        """
        now = to_millis(at)
        query = (
            select(web_sessions, *(column.label(f"of_key_{column.name}") for column in api_keys.c))
            .select_from(web_sessions.outerjoin(api_keys, api_keys.c.id == web_sessions.c.key_id))
            .where(
                web_sessions.c.token_sha256 == digest_of_secret(token),
                web_sessions.c.ended_at.is_(None),
                web_sessions.c.expires_at > now,
                web_sessions.c.used_at > to_millis(at - self._idle),
                api_keys.c.revoked_at.is_(None),
            )
        )
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            return None
        if use and from_millis(row.used_at) + _USE_NOTED_EVERY <= at:
            noted = update(web_sessions).where(web_sessions.c.id == row.id).values(used_at=now)
            with suppress(Transient):  # whoever may read need not be kept from it by a full disk
                await self._database.write(lambda connection: connection.execute(noted).rowcount)
        return _session(row)

    async def end(self, token: str, at: datetime) -> None:
        """End a session; nothing happens if there is none with this token."""
        change = update(web_sessions).where(
            web_sessions.c.token_sha256 == digest_of_secret(token), web_sessions.c.ended_at.is_(None)
        )

        def end(connection: Connection) -> None:
            if connection.execute(change.values(ended_at=to_millis(at))).rowcount:
                signal(connection, RULES_TOPIC)  # streams look again whether whoever reads them may

        await self._database.write(end)

    def _fresh(self, at: datetime) -> tuple[str, dict[str, object]]:
        token = secrets.token_urlsafe(32)
        return token, {
            "id": self._new_id("sgn", at),
            "token_sha256": digest_of_secret(token),
            "created_at": to_millis(at),
            "used_at": to_millis(at),
            "expires_at": to_millis(at + self.longest),
        }

    def _known_now(self, sql: Driver, person: Person, at: datetime) -> Person:
        """Give a person who was erased as nobody but their pseudonym."""
        organisation = person.bound_to.organisation
        for name in {person.known_as, person.subject}:
            whose = Attribution(organisation=organisation, employee=name)
            pseudonym = self._suppressions.apply(sql, whose, at).employee
            if pseudonym is not None and pseudonym != name:
                employee = None if person.bound_to.employee is None else pseudonym
                return Person(
                    subject=pseudonym,
                    known_as=pseudonym,
                    name=pseudonym,
                    role=person.role,
                    bound_to=Attribution(organisation, person.bound_to.department, employee=employee),
                )
        return person


def forget_person(sql: Driver, organisation: str, employee: str, pseudonym: str, at: datetime) -> None:
    """End the sessions of an erased person, and put the pseudonym where they are named.

    Must run while API keys still have the name.
    """
    theirs = (organisation, employee, employee, employee, organisation, employee)
    sql.execute(
        f"UPDATE web_sessions SET ended_at = COALESCE(ended_at, ?) WHERE {_THEIRS}",
        (to_millis(at), *theirs),
    )
    sql.execute(
        "UPDATE web_sessions SET subject = ?, known_as = ?, name = ?,"
        " employee = CASE WHEN employee IS NULL THEN NULL ELSE ? END"
        f" WHERE key_id IS NULL AND ({_THEIRS})",
        (pseudonym, pseudonym, pseudonym, pseudonym, *theirs),
    )


def _session(row: Row[tuple[object, ...]]) -> WebSession:
    key = None if row.key_id is None else key_of(row, "of_key_")
    return WebSession(
        id=row.id,
        key=key,
        role=row.role,
        known_as=row.known_as if key is None else key.bound_to.employee,
        name=row.name if key is None else key.name,
        bound_to=Attribution(row.organisation, row.department, employee=row.employee) if key is None else key.bound_to,
        created_at=from_millis(row.created_at),
        expires_at=from_millis(row.expires_at),
    )
