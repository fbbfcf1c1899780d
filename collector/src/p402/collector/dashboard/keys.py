"""API keys as a page: which there are and what each may do; one is made, shown once, and revoked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from p402.collector.api.bodies import form_fields
from p402.collector.api.endpoint import Caller, Media, endpoint
from p402.collector.api.key_changes import KeyChanges, NewKey
from p402.collector.api.problem import Forbidden
from p402.collector.dashboard.forms import FORM_TYPE
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import View
from p402.collector.storage.keys import SCOPES, ApiKey, BindingInvalid, ScopeUnknown
from p402.vocabulary import Level

__all__ = ["SCOPE_SENTENCES", "KeyPages"]

_LEVELS = (Level.ORGANISATION, Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE)
SCOPE_SENTENCES: Mapping[str, str] = {
    "ingest": "Send spans. The key of a service that is metered.",
    "feedback": "Ask before calls are made: decisions, leases, budgets' answers. Also for a service, beside ingest.",
    "spend:read": "See spend, budgets, policies, alerts and anomalies.",
    "receipts:read": "See receipts, their proofs, statements and settlements.",
    "receipts:personal": "See who a receipt's session was of, and what reviewers wrote. Every look is noted.",
    "review": "Review anomalies and receipts.",
    "exports": "Take data away: exports, invoices, comparisons.",
    "holds": "Place legal holds and release them.",
    "budgets:write": "Change budgets and policies.",
    "admin": "Everything, also keys like this one, erasures and the closing of months.",
}
"""What each scope allows, for whoever makes a key."""


class KeysView(View):
    """The query of the page."""

    done: Annotated[
        Literal["revoked"] | None, Field(description="What was done a moment ago, as the page itself puts it.")
    ] = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What was typed into the form, and what is wrong with it."""

    name: str = ""
    scopes: Sequence[str] = ()
    bound_to: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    """By field."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A key that was made a moment ago."""

    key: ApiKey
    secret: str


class KeyPages(Pages):
    """The handlers."""

    def __init__(self, shell: Shell, changes: KeyChanges, started_at: datetime) -> None:
        super().__init__(shell)
        self._changes = changes
        self._started_at = started_at

    @endpoint("GET /keys", scope="admin", answers={200: HTML})
    async def keys(self, request: web.Request, caller: Caller, query: KeysView) -> web.Response:
        """List API keys: what each may do, for which part of the tree, and when it was last used."""
        return await self._show(request, caller, query)

    @endpoint(
        "POST /keys",
        scope="admin",
        answers={200: HTML, 400: (HTML, Media("application/problem+json"))},
        takes={FORM_TYPE: "`name`, `scopes` (several), and the levels that it is bound to."},
    )
    async def make(self, request: web.Request, caller: Caller, query: KeysView) -> web.Response:
        """Make a key, and show its secret: in this answer only."""
        fields = await form_fields(request)
        form = dict(fields)
        draft = Draft(
            form.get("name", "").strip(),
            [scope for name, scope in fields if name == "scopes"],
            {level.value: form.get(level.value, "").strip() for level in _LEVELS},
        )
        try:
            wanted = NewKey(name=draft.name, scopes=list(draft.scopes), **_said(draft.bound_to))
            key, secret = await self._changes.make(caller.principal, wanted)
        except (ValidationError, ScopeUnknown, BindingInvalid, Forbidden) as error:
            again = Draft(draft.name, draft.scopes, draft.bound_to, _wrong(error))
            return await self._show(request, caller, query, again, status=400)
        return await self._show(request, caller, query, fresh=Fresh(key, secret))

    @endpoint("POST /keys/{key}/revoke", scope="admin", answers={303: None}, takes={FORM_TYPE: "Nothing but the wish."})
    async def revoke(self, caller: Caller, key: str) -> web.Response:
        """Make a key useless from now on."""
        await self._changes.revoke(caller.principal, key)
        raise web.HTTPSeeOther("/keys?done=revoked")

    async def _show(
        self,
        request: web.Request,
        caller: Caller,
        query: KeysView,
        draft: Draft | None = None,
        fresh: Fresh | None = None,
        status: int = 200,
    ) -> web.Response:
        found = await self._changes.seen_by(caller.principal)
        return self._shell.page(
            request,
            caller,
            query,
            "keys.html",
            live=False,
            status=status,
            path="/keys",
            valid=[key for key in found[::-1] if key.revoked_at is None],
            revoked=[key for key in found[::-1] if key.revoked_at is not None],
            last_used=self._changes.keys.last_used,
            started_at=self._started_at,
            levels=[level.value for level in _LEVELS],
            scopes={scope: SCOPE_SENTENCES[scope] for scope in SCOPES},
            draft=draft or Draft(),
            fresh=fresh,
            own=caller.principal,
        )


def _said(bound_to: Mapping[str, str]) -> dict[str, str]:
    return {level: value for level, value in bound_to.items() if value}


def _wrong(error: Exception) -> dict[str, str]:
    """Say what is wrong with each field."""
    if not isinstance(error, ValidationError):
        return {"scopes" if isinstance(error, ScopeUnknown) else "bound_to": str(error)}
    sentences = {
        "name": "A key needs a name of 1 to 200 characters: who or what will use it.",
        "scopes": "Choose what the key may do.",
    }
    fields = {str(one["loc"][0]) for one in error.errors()}
    return {name: sentences.get(name, "An id has 1 to 256 characters.") for name in fields}
