"""Keys as whoever has an admin key sees and changes them: within the part of the tree of their own key, and noted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from p402.collector.api.auth import Principal
from p402.collector.api.budget_views import within_part
from p402.collector.api.problem import Forbidden, NotFound
from p402.collector.storage.audit import record_audit
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.keys import ApiKey, Keys
from p402.vocabulary import Attribution, Clock, Level

__all__ = ["KeyChanges", "NewKey"]

_Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class NewKey(BaseModel):
    """A key as it shall be."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$"),
        Field(examples=["the auditor's"]),
    ]
    scopes: Annotated[list[str], Field(min_length=1, max_length=20, examples=[["receipts:read"]])]
    organisation: _Id | None = None
    department: _Id | None = None
    project: _Id | None = None
    client: _Id | None = None
    employee: _Id | None = None

    def bound_to(self) -> Attribution:
        """Give the part of the tree that it is bound to."""
        return Attribution(self.organisation, self.department, self.project, self.client, self.employee)


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """What is done with keys, by people and by programs."""

    database: Database
    keys: Keys
    clock: Clock
    default_organisation: str

    async def seen_by(self, principal: Principal) -> list[ApiKey]:
        """Give the keys that somebody may see, the oldest first."""
        return [key for key in await self.keys.list() if within_part(principal, key.bound_to)]

    async def make(self, principal: Principal, wanted: NewKey) -> tuple[ApiKey, str]:
        """Make a key; gives it with its secret.

        Raises:
            Forbidden: if it would be of another part of the tree.
            ScopeUnknown: if there is no such scope.
            BindingInvalid: if what it is to be bound to is no id.
        """
        bound_to = wanted.bound_to().over(principal.bound_to)
        if not within_part(principal, bound_to):
            raise Forbidden("A key that is bound to a part of the tree makes keys for that part only.")
        key, secret = await self.keys.create(wanted.name, frozenset(wanted.scopes), bound_to, self.clock.now())
        await self._note(principal, key, "key.created")
        return key, secret

    async def revoke(self, principal: Principal, key_id: str) -> ApiKey:
        """Make a key useless from now on; its streams end. Gives it as it is now.

        Raises:
            NotFound: if there is none that somebody may see and that is not revoked.
        """
        known = next((known for known in await self.seen_by(principal) if known.id == key_id), None)
        if known is None or known.revoked_at is not None:
            raise NotFound(f"There is no key {key_id[:64]!r} that you may see and that is not revoked.")
        now = self.clock.now()
        await self.keys.revoke(key_id, now)
        await self._note(principal, known, "key.revoked")
        return ApiKey(known.id, known.name, known.scopes, known.bound_to, known.created_at, now)

    async def _note(self, principal: Principal, key: ApiKey, action: str) -> None:
        organisation = key.bound_to.organisation or self.default_organisation
        bound = {level.value: value for level, value in key.bound_to if level is not Level.SESSION}
        detail = {"name": key.name, "scopes": sorted(key.scopes), "bound_to": bound}
        await self.database.write(
            lambda connection: record_audit(
                driver(connection),
                organisation,
                actor=principal.actor or "",
                action=action,
                subject=key.id,
                detail=detail,
                at=self.clock.now(),
            )
        )
