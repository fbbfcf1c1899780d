"""The tree of an organisation as it is known: from the calls of its nodes, from their budgets, and from the directory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator, reader_of
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Node, Time, Usd, shape
from p402.collector.api.query import Limit, NodeId, Query, wrong_parameter
from p402.collector.storage.budgets import budgets_in_force
from p402.collector.storage.charges import spend_by
from p402.collector.storage.database import Database
from p402.collector.storage.directory_list import department_names
from p402.collector.storage.directory_names import names_of_people
from p402.collector.storage.disclosures import Disclosures
from p402.collector.storage.driver import driver
from p402.collector.storage.nodes import nodes_page
from p402.vocabulary import Attribution, Clock, Level, rfc3339

__all__ = ["OrganisationApi"]

_SHOWN = (Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE)


class TreeQuery(Query):
    """Which part of the tree."""

    level: Annotated[
        Literal[Level.DEPARTMENT, Level.PROJECT, Level.CLIENT, Level.EMPLOYEE, Level.SESSION] | None,
        Field(
            description="Of which the nodes are shown; default: those of departments, projects, clients and employees."
        ),
    ] = None
    department: NodeId | None = None
    project: NodeId | None = None
    client: NodeId | None = None
    employee: NodeId | None = None
    after: Annotated[NodeId | None, Field(description="Goes on with a level after this node.")] = None
    limit: Limit = 100


@shape
class NodeView(TypedDict):
    """A node of the tree."""

    node: Node
    display_name: str | None
    """As the directory says; of a person only with the scope `receipts:personal`."""
    owner: str | None
    spend_usd: Usd
    """Of this month."""
    charges: Count
    budgets: list[str]


@shape
class LevelView(TypedDict):
    """The nodes of a level."""

    nodes: list[NodeView]
    next_after: str | None


class TreeView(NodeView):
    """The tree of an organisation."""

    organisation: Node
    month_from: Time
    levels: dict[Level, LevelView]


@dataclass(frozen=True, slots=True)
class OrganisationApi:
    """What the handler needs."""

    database: Database
    authenticator: Authenticator
    disclosures: Disclosures
    clock: Clock
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint("GET /v1/organisation", scope="spend:read", answers={200: TreeView})
    async def tree(self, caller: Caller, query: TreeQuery) -> web.Response:
        """Show the nodes of each level, or of one: name, owner, spend of this month (UTC), budgets.

        ``department=``, ``project=`` … keep to nodes that had calls together with that one, and to people whom the directory
        has there: so the tree is walked down. That names of people were shown is in the access log.
        """
        caller.principal.require_whole_organisation()
        organisation, level, after, limit = caller.organisation, query.level, query.after or "", query.limit
        narrowed = Attribution(organisation, query.department, query.project, query.client, query.employee)
        if level is None and after:
            raise wrong_parameter({"after": "goes on with one level: name it as level"})
        now = self.clock.now()
        month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        personal, shown = caller.principal.may("receipts:personal"), list[str]()
        hours = int(month.timestamp()) // 3600, int(now.timestamp()) // 3600 + 1

        def read(connection: Connection) -> TreeView:
            budgets = [stored.definition for stored in budgets_in_force(driver(connection), organisation, now)]

            def called(at: Level, nodes: list[str]) -> dict[str, str]:
                if at is Level.EMPLOYEE and personal:
                    found = names_of_people(connection, self.disclosures.vault, organisation, nodes)
                    shown.extend(id_ for id_, _ in found.values())
                    return {employee: name for employee, (_, name) in found.items()}
                return department_names(connection, organisation, nodes) if at is Level.DEPARTMENT else {}

            def view(at: Level, names: list[str]) -> list[NodeView]:
                display_names = called(at, names)
                spent = {spend.node: spend for spend in spend_by(connection, at, organisation, *hours)}
                return [
                    {
                        "node": name,
                        "display_name": display_names.get(name),
                        "owner": next((b.owner for b in budgets if b.owner and (b.level, b.node) == (at, name)), None),
                        "spend_usd": str(spent[name].cost) if name in spent else "0",
                        "charges": spent[name].charges if name in spent else 0,
                        "budgets": [b.name for b in budgets if b.level is at and b.node in (name, "*")],
                    }
                    for name in names
                ]

            levels: dict[Level, LevelView] = {}
            for at in (level,) if level else _SHOWN:
                budgeted = [b.node for b in budgets if b.level is at and b.node != "*"]
                names = nodes_page(connection, at, narrowed, budgeted, after, limit)
                levels[at] = {
                    "nodes": view(at, names),
                    "next_after": names[-1] if len(names) == limit else None,
                }
            return {
                "organisation": organisation,
                "month_from": rfc3339(month),
                **view(Level.ORGANISATION, [organisation])[0],
                "levels": levels,
            }

        tree = await self.database.read(read)
        await self.disclosures.note(reader_of(caller.principal, "GET /v1/organisation"), organisation, shown)
        return web.json_response(tree)
