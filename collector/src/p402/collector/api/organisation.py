"""The tree of an organisation as it is known: from the calls of its nodes, and from their budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from p402.collector.api.auth import Authenticator
from p402.collector.api.pages import MAX_LIMIT, choice, identifier, integer, organisation_of
from p402.collector.api.problem import BadRequest
from p402.collector.storage.budgets import budgets_in_force
from p402.collector.storage.charges import spend_by
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.nodes import nodes_page
from p402.vocabulary import Attribution, Clock, Level, rfc3339

__all__ = ["OrganisationApi"]

_SHOWN = (Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE)


@dataclass(frozen=True, slots=True)
class OrganisationApi:
    """What the handler needs."""

    database: Database
    authenticator: Authenticator
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return [web.get("/v1/organisation", self.tree, allow_head=False)]

    async def tree(self, request: web.Request) -> web.Response:
        """Show the nodes of each level, or of one: owner, spend of this month (UTC), budgets.

        ``department=``, ``project=`` … keep to nodes that had calls together with that one: so the tree is walked down.
        """
        principal = await self.authenticator.authenticate(request, "spend:read")
        organisation = organisation_of(request, principal, self.default_organisation)
        principal.require_whole_organisation()
        level = choice(request, "level", Level)
        if level in (Level.ORGANISATION, Level.REQUEST):
            raise BadRequest("The query parameter level must be one of department, project, client, employee, session.")
        narrowed = Attribution(organisation, **{name.value: identifier(request, name.value) for name in _SHOWN})
        after = request.query.get("after", "")
        if level is None and after:
            raise BadRequest("The query parameter after goes on with one level: name it as level.")
        limit, now = integer(request, "limit", 100, least=1, most=MAX_LIMIT), self.clock.now()
        month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        hours = int(month.timestamp()) // 3600, int(now.timestamp()) // 3600 + 1

        def read(connection: Connection) -> dict[str, Any]:
            budgets = [stored.definition for stored in budgets_in_force(driver(connection), organisation, now)]

            def view(at: Level, names: list[str]) -> list[dict[str, Any]]:
                spent = {spend.node: spend for spend in spend_by(connection, at, organisation, *hours)}
                return [
                    {
                        "node": name,
                        "owner": next((b.owner for b in budgets if b.owner and (b.level, b.node) == (at, name)), None),
                        "spend_usd": str(spent[name].cost) if name in spent else "0",
                        "charges": spent[name].charges if name in spent else 0,
                        "budgets": [b.name for b in budgets if b.level is at and b.node in (name, "*")],
                    }
                    for name in names
                ]

            levels = {}
            for at in (level,) if level else _SHOWN:
                budgeted = [b.node for b in budgets if b.level is at and b.node != "*"]
                names = nodes_page(connection, at, narrowed, budgeted, after, limit)
                levels[at.value] = {
                    "nodes": view(at, names),
                    "next_after": names[-1] if len(names) == limit else None,
                }
            return {**view(Level.ORGANISATION, [organisation])[0], "levels": levels}

        tree = await self.database.read(read)
        return web.json_response({"organisation": organisation, "month_from": rfc3339(month), **tree})
