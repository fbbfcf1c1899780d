"""The policies of all departments, a line for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from p402.collector.api.auth import Principal
from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.api.policy_views import DEFAULT_NAME, may_see_policy
from p402.collector.dashboard.forms import WRITES_RULES, Told
from p402.collector.dashboard.names import Naming
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.routing.words import policy_in_words, tiers_in_words
from p402.collector.storage.policies import DEFAULT_DEPARTMENT, StoredPolicy, current_policies
from p402.collector.storage.usage import usage_by
from p402.collector.usage.slices import Dimension, Slice, UsageSum
from p402.vocabulary import Level

__all__ = ["PoliciesPage"]


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A department and the policy that its calls are under."""

    department: str
    """``""`` is the organisation's default."""
    stored: StoredPolicy | None
    """Its own one; None: it is under the default."""
    used: UsageSum | None
    """In the period; None if it made no call."""

    @property
    def path(self) -> str:
        """Of its page, to be quoted."""
        return self.department or DEFAULT_NAME


class PoliciesPage(Pages):
    """The handler."""

    def __init__(self, shell: Shell, naming: Naming) -> None:
        super().__init__(shell)
        self._naming = naming

    @endpoint("GET /policies", scope="spend:read", answers={200: HTML})
    async def policies(self, request: web.Request, caller: Caller, query: Told) -> web.Response:
        """Show each department with the policy that its calls are under, in words."""
        now, principal = self._shell.clock.now(), caller.principal
        asked = query.slice(caller.organisation, principal.within(caller.organisation), now)
        rows, names = await self._naming.read(
            caller,
            query,
            "GET /policies",
            lambda connection: _read(connection, asked, principal),
            lambda rows: [(Level.DEPARTMENT, row.department) for row in rows],
        )
        return self._shell.page(
            request,
            caller,
            query,
            "policies.html",
            rows=rows,
            names=names,
            default=next((row.stored for row in rows if row.department == DEFAULT_DEPARTMENT), None),
            writes=principal.may(WRITES_RULES),
            words=policy_in_words,
            tiers=tiers_in_words,
        )


def _read(connection: Connection, asked: Slice, principal: Principal) -> Sequence[PolicyRow]:
    own = {stored.department: stored for stored in current_policies(connection, asked.organisation)}
    used = {str(one.by[0]): one for one in usage_by(connection, asked, [Dimension.DEPARTMENT])}
    names = [DEFAULT_DEPARTMENT, *sorted({*own, *used} - {DEFAULT_DEPARTMENT})]
    return [PolicyRow(name, own.get(name), used.get(name)) for name in names if may_see_policy(principal, name)]
