"""Policies of departments over HTTP: each change a version, and dry runs of a policy before it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field

from p402.collector.api.auth import Authenticator
from p402.collector.api.endpoint import Caller, HeaderParameter, endpoint, routes_of
from p402.collector.api.policy_trials import judged, policies_in_force
from p402.collector.api.policy_views import (
    JudgedCall,
    JudgedPeriod,
    PolicyBody,
    PolicyList,
    PolicyVersions,
    PolicyView,
    TestBody,
    decision_view,
    may_see_policy,
    policy_department,
    policy_view,
)
from p402.collector.api.problem import BadRequest, Forbidden, NotFound, PreconditionFailed
from p402.collector.api.query import DIGITS, Limit, Query
from p402.collector.pricing import PriceBook
from p402.collector.routing.schema import PolicyDefinition
from p402.collector.storage.database import Database
from p402.collector.storage.policies import (
    PolicyChanged,
    StoredPolicy,
    change_policy,
    current_policies,
    current_policy,
    policy_versions,
)
from p402.decisions import Catalogue, Funds, Policy, RateCard, Rules, decide
from p402.vocabulary import Attribution, Clock

__all__ = ["PoliciesApi"]

_IF_MATCH = HeaderParameter(
    "If-Match", 'The version that the change is of, so that nobody else\'s is undone; `"0"` if there is none.', '"3"'
)


class VersionsQuery(Query):
    """Which versions."""

    after: Annotated[int, Field(ge=0, le=2**31 - 1, description="Goes on after this version."), DIGITS] = 0
    limit: Limit = 100


@dataclass(frozen=True, slots=True)
class PoliciesApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    catalogue: Catalogue
    prices: PriceBook
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/policies", scope="spend:read", answers={200: PolicyList})
    async def policies(self, caller: Caller) -> web.Response:
        """List the policies that are in force, the organisation's default first."""
        found = await self.database.read(lambda connection: current_policies(connection, caller.organisation))
        seen = [stored for stored in found if may_see_policy(caller.principal, stored.department)]
        return web.json_response(PolicyList(policies=[policy_view(stored) for stored in seen]))

    @endpoint("GET /v1/policies/{department}", scope="spend:read", answers={200: PolicyView}, sends=("ETag",))
    async def policy(self, caller: Caller, department: str) -> web.Response:
        """Show a department's own policy."""
        name = policy_department(department, caller.principal)
        stored = await self.database.read(lambda connection: current_policy(connection, caller.organisation, name))
        if stored is None:
            raise NotFound(_none(department))
        return _shown(stored)

    @endpoint(
        "PUT /v1/policies/{department}",
        scope="budgets:write",
        answers={200: PolicyView, 201: PolicyView},
        problems=(412,),
        headers=(_IF_MATCH,),
        sends=("ETag",),
    )
    async def put(self, request: web.Request, caller: Caller, department: str, body: PolicyBody) -> web.Response:
        """Make a policy the one in force; the same once more changes nothing."""
        caller.principal.require_whole_organisation()
        name, expected = policy_department(department, caller.principal), _expected(request)
        stored, changed = await self._change(caller, name, body.definition(), body.reason, expected)
        return _shown(stored, status=201 if changed and stored.version == 1 else 200)

    @endpoint(
        "DELETE /v1/policies/{department}",
        scope="budgets:write",
        answers={200: PolicyView},
        problems=(412,),
        headers=(_IF_MATCH,),
        sends=("ETag",),
    )
    async def delete(self, request: web.Request, caller: Caller, department: str) -> web.Response:
        """End a department's policy: the organisation's default applies again, or none."""
        caller.principal.require_whole_organisation()
        name, expected = policy_department(department, caller.principal), _expected(request)
        known = await self.database.read(lambda connection: current_policy(connection, caller.organisation, name))
        if known is None:
            raise NotFound(_none(department))
        stored, _ = await self._change(caller, name, None, None, expected)
        return _shown(stored)

    @endpoint("GET /v1/policies/{department}/versions", scope="spend:read", answers={200: PolicyVersions})
    async def versions(self, caller: Caller, query: VersionsQuery, department: str) -> web.Response:
        """List all versions of a department's policy, the oldest first; ``next_after`` continues."""
        name, organisation = policy_department(department, caller.principal), caller.organisation
        found = await self.database.read(
            lambda connection: policy_versions(connection, organisation, name, query.after, query.limit)
        )
        page: PolicyVersions = {
            "versions": [policy_view(stored) for stored in found],
            "next_after": found[-1].version if len(found) == query.limit else None,
        }
        return web.json_response(page)

    @endpoint("POST /v1/policies/test", scope="spend:read", answers={200: JudgedCall | JudgedPeriod})
    async def test(self, caller: Caller, body: TestBody) -> web.Response:
        """Say what a policy makes of a call, or would have made of those of a period; nothing is changed."""
        principal, organisation = caller.principal, caller.organisation
        department = body.department or principal.bound_to.department
        question = None if body.question is None else body.question.question(principal.bound_to, organisation)
        if question is not None:
            department = department or question.attribution.department
        if department is not None and not may_see_policy(principal, department):
            raise Forbidden("The API key is bound to another part than this department.")
        if question is not None:
            policy = await self._policy(organisation, department, body.policy)
            decision = decide(question, self._rules(policy), Funds(), self.clock.now())
            return web.json_response(decision_view(decision))
        assert body.history is not None
        within = principal.within(organisation).over(Attribution(department=department))
        period = body.history.begin, body.history.end
        answer = await self.database.read(
            lambda connection: judged(
                connection,
                within,
                period,
                policies_in_force(connection, organisation, body.policy),
                self.catalogue,
                self.prices,
            ),
            long=True,
        )
        return web.json_response(answer)

    async def _policy(self, organisation: str, department: str | None, proposed: PolicyDefinition | None) -> Policy:
        return await self.database.read(
            lambda connection: policies_in_force(connection, organisation, proposed)(department)
        )

    def _rules(self, policy: Policy) -> Rules:
        now = self.clock.now()

        def card_for(provider: str, model: str, service_tier: str | None) -> RateCard | None:
            card = self.prices.card(provider, model, now, service_tier)
            return card if isinstance(card, RateCard) else None

        return Rules(policy, self.catalogue, card_for)

    async def _change(
        self,
        caller: Caller,
        department: str,
        definition: PolicyDefinition | None,
        reason: str | None,
        expected: int | None,
    ) -> tuple[StoredPolicy, bool]:
        now = self.clock.now()
        try:
            return await self.database.write(
                lambda connection: change_policy(
                    connection,
                    caller.organisation,
                    department,
                    definition,
                    by=caller.principal.actor,
                    reason=reason,
                    at=now,
                    expected=expected,
                )
            )
        except PolicyChanged as error:
            raise PreconditionFailed(
                f"The policy is at version {error.version}, not {expected}: somebody changed it meanwhile. "
                "Read it, and decide again."
            ) from error


def _expected(request: web.Request) -> int | None:
    """Read which version a change is of: ``If-Match: "3"``; ``"0"`` if there is none yet."""
    text = request.headers.get("If-Match")
    if text is None or text.strip() == "*":
        return None
    version = text.strip().strip('"')
    if not (version.isascii() and version.isdigit() and len(version) < 10):  # noqa: PLR2004 - 31 bits
        raise BadRequest('If-Match is the version that the change is of, such as "3".')
    return int(version)


def _none(name: str) -> str:
    return f"{name!r} has no policy of its own. GET /v1/policies lists those that have one."


def _shown(stored: StoredPolicy, *, status: int = 200) -> web.Response:
    return web.json_response(policy_view(stored), status=status, headers={"ETag": f'"{stored.version}"'})
