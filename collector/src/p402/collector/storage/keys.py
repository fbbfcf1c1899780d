"""API keys: stored as digests, shown once, bound to levels of the tree."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, func, insert, select, update

from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.rule_changes import RULES_TOPIC
from p402.collector.storage.signals import signal
from p402.collector.storage.tables import api_keys
from p402.collector.storage.valid_keys import keys_changed
from p402.vocabulary import Attribution, Clock, IdFactory, Level, Permanent, is_valid_id

__all__ = [
    "SCOPES",
    "ApiKey",
    "BindingInvalid",
    "KeyUnknown",
    "Keys",
    "ScopeUnknown",
    "digest_of_secret",
    "key_of",
]

SCOPES = (
    "ingest",
    "feedback",
    "spend:read",
    "receipts:read",
    "receipts:personal",
    "review",
    "exports",
    "holds",
    "budgets:write",
    "admin",
)
"""Everything a key can be allowed to do; ``admin`` includes the rest."""

_MOST_REMEMBERED = 10_000
_BOUND = (Level.ORGANISATION, Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE)


class ScopeUnknown(Permanent):
    """A key cannot be made with a scope that does not exist."""


class BindingInvalid(Permanent):
    """A key cannot be bound to something that is not the id of a node."""


class KeyUnknown(Permanent):
    """There is no key with this id."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known about a key; the secret itself is not."""

    id: str
    name: str
    scopes: frozenset[str]
    bound_to: Attribution
    created_at: datetime
    revoked_at: datetime | None


class Keys:
    """The keys of a collector."""

    def __init__(self, database: Database, new_id: IdFactory, clock: Clock | None = None) -> None:
        """Open the keys; with a clock it is known when each was last used in this process."""
        self._database = database
        self._new_id = new_id
        self._clock = clock
        self._remembered: dict[bytes, ApiKey] = {}
        """By the digest of the secret."""
        self._used: dict[str, datetime] = {}

    async def create(
        self, name: str, scopes: frozenset[str], bound_to: Attribution, at: datetime
    ) -> tuple[ApiKey, str]:
        """Make a key; returns it with its secret, which is never shown again.

        Raises:
            ScopeUnknown: naming the scopes that do exist.
            BindingInvalid: naming the level.
        """
        if unknown := scopes - set(SCOPES):
            raise ScopeUnknown(f"No such scope: {', '.join(sorted(unknown))}. There are: {', '.join(SCOPES)}.")
        for level, value in bound_to:
            if value is not None and not is_valid_id(value):
                raise BindingInvalid(f"The {level} that a key is bound to must be 1 to 256 printable characters.")
        secret = "p402_" + secrets.token_urlsafe(32)
        key = ApiKey(self._new_id("key", at), name, scopes, bound_to, at, None)
        row = {
            "id": key.id,
            "name": name,
            "secret_sha256": digest_of_secret(secret),
            "scopes": " ".join(sorted(scopes)),
            "created_at": to_millis(at),
            **{level.value: getattr(bound_to, level.value) for level in _BOUND},
        }
        await self._database.write(lambda connection: connection.execute(insert(api_keys).values(row)).rowcount)
        return key, secret

    async def find(self, secret: str) -> ApiKey | None:
        """Give the key with this secret, unless it was revoked."""
        query = select(api_keys).where(
            api_keys.c.secret_sha256 == digest_of_secret(secret), api_keys.c.revoked_at.is_(None)
        )
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            return None
        self._note_use(row.id)
        return key_of(row)

    def last_used(self, key_id: str) -> datetime | None:
        """Say when a key was last used since this process began; None if it was not, or nobody looks at the clock."""
        return self._used.get(key_id)

    def _note_use(self, key_id: str) -> None:
        if self._clock is not None:
            self._used[key_id] = self._clock.now()

    async def find_or_remember(self, secret: str) -> ApiKey | None:
        """Give the key with this secret, perhaps from memory: it may have changed since, see `storage.valid_keys`."""
        digest = digest_of_secret(secret)
        key = self._remembered.get(digest) or await self.find(secret)
        if key is not None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = key
            self._note_use(key.id)
        return key

    def forget(self) -> None:
        """Read every key anew, since one of those that are remembered has changed."""
        self._remembered.clear()

    async def list(self) -> list[ApiKey]:
        """Give all keys, the oldest first."""
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        return await self._database.read(lambda connection: [key_of(row) for row in connection.execute(query)])

    async def revoke(self, key_id: str, at: datetime) -> None:
        """Make a key useless from now on.

        Raises:
            KeyUnknown: if there is none with this id.
        """
        change = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))

        def revoke(connection: Connection) -> int:
            signal(connection, RULES_TOPIC)  # streams look again whether their key is still valid
            revoked = connection.execute(change.values(revoked_at=to_millis(at))).rowcount
            keys_changed(driver(connection))
            return revoked

        found = await self._database.write(revoke)
        self.forget()
        if not found:
            raise KeyUnknown(f"No key {key_id} that is not revoked already. `p402 keys list` shows them.")

    async def none_exist(self) -> bool:
        """Tell whether this collector never had a key."""
        query = select(func.count()).select_from(api_keys)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one()) == 0


def digest_of_secret(secret: str) -> bytes:
    """Digest a secret. It has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()  # a header may hold any bytes


def key_of(row: Row[tuple[object, ...]], prefix: str = "") -> ApiKey:
    """Read a key from a row that has its columns, perhaps beside others and under longer names."""
    found = {name.removeprefix(prefix): value for name, value in row._mapping.items() if name.startswith(prefix)}  # noqa: SLF001 - public by SQLAlchemy's own account
    return ApiKey(
        id=found["id"],
        name=found["name"],
        scopes=frozenset(found["scopes"].split()),
        bound_to=Attribution(**{level.value: found[level.value] for level in _BOUND}),
        created_at=from_millis(found["created_at"]),
        revoked_at=None if found["revoked_at"] is None else from_millis(found["revoked_at"]),
    )
