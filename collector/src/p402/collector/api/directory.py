"""The directory over HTTP: people and departments are imported, and read. Names of people are personal data."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection
from typing_extensions import TypedDict

from p402.collector.api.auth import Authenticator, Principal, reader_of
from p402.collector.api.bodies import whole_body
from p402.collector.api.endpoint import Caller, endpoint, routes_of
from p402.collector.api.fields import Count, Id, Node, shape
from p402.collector.api.problem import BadRequest, Forbidden
from p402.collector.api.query import Flag, Limit, NodeId, Query
from p402.collector.directory.entries import Document, DocumentUnusable
from p402.collector.directory.read import CSV, JSON, SCIM, read_document
from p402.collector.directory.scim_document import EmployeeFrom
from p402.collector.storage.database import Database
from p402.collector.storage.directory import import_document, look_ahead
from p402.collector.storage.directory_list import department_rows
from p402.collector.storage.directory_names import opened_names, rows_of
from p402.collector.storage.directory_plan import Difference, Differences
from p402.collector.storage.disclosures import Disclosures
from p402.vocabulary import Attribution, Clock, IdFactory

__all__ = ["DirectoryApi"]

_LARGEST = 32 << 20  # bytes of a document
_PEOPLE = "GET /v1/directory/people"


class ImportQuery(Query):
    """How a document is imported."""

    dry_run: Annotated[Flag, Field(description="Tell the differences, and change nothing.")] = False
    prune: Annotated[
        Flag,
        Field(
            description="Remove people whom a document about people does not name, and departments without people that one "
            "about departments does not. Whom a legal hold keeps as a whole stays."
        ),
    ] = False
    employee_from: Annotated[
        EmployeeFrom, Field(description="The attribute of a SCIM user by which calls name the employee.")
    ] = EmployeeFrom.USER_NAME


class PeopleQuery(Query):
    """Which people."""

    department: NodeId | None = None
    after: Annotated[NodeId | None, Field(description="Goes on after this employee.")] = None
    limit: Limit = 100


class DepartmentsQuery(Query):
    """Which departments."""

    after: Annotated[NodeId | None, Field(description="Goes on after this department.")] = None
    limit: Limit = 100


@shape
class DifferenceView(TypedDict):
    """How many of what a document names, or leaves out, were what."""

    added: Count
    changed: Count
    unchanged: Count
    removed: Count
    kept: Count
    """Not named, but kept: people by a legal hold, departments by the people in them."""


@shape
class ImportView(TypedDict):
    """What an import did, or would do."""

    organisation: Node
    dry_run: bool
    people: DifferenceView
    departments: DifferenceView
    departments_made: list[Node]
    """Of those that were added: the ones that people are said to be of, and nothing else says more about."""
    erased: Count
    """People whom the document names, but who were erased: they are not listed again."""


@shape
class PersonView(TypedDict):
    """An employee."""

    id: Annotated[Id, Field(examples=["prsn_01JDC2W0V8H3QK6M4T9ZRX5B7E"])]
    """By which the access log names them."""
    employee: Annotated[Node, Field(examples=["e-1042"])]
    display_name: str | None
    """Null without the scope `receipts:personal`, or if there is none."""
    department: Node | None
    active: bool


@shape
class PeoplePage(TypedDict):
    """People, by employee."""

    people: list[PersonView]
    next_after: str | None


@shape
class DepartmentView(TypedDict):
    """A department."""

    department: Node
    display_name: str | None
    people: Count
    """Active ones."""


@shape
class DepartmentsPage(TypedDict):
    """Departments, by id."""

    departments: list[DepartmentView]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class DirectoryApi:
    """What the handlers need."""

    database: Database
    authenticator: Authenticator
    disclosures: Disclosures
    clock: Clock
    new_id: IdFactory
    default_organisation: str

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; the README's table is checked against them."""
        return routes_of(self)

    @endpoint(
        "PUT /v1/directory",
        scope="admin",
        answers={200: ImportView},
        takes={
            CSV: "UTF-8 with the header `employee,display_name,department` (and perhaps `active`), or `department,display_name`.",
            SCIM: "A ListResponse of users and groups, a list of them, or one; a group is a department.",
            JSON: "The same.",
        },
    )
    async def put(self, request: web.Request, caller: Caller, query: ImportQuery) -> web.Response:
        """Make the directory say what a document says: all of it, or nothing where something is wrong.

        The same once more changes nothing. Needs a key of the whole organisation.
        """
        caller.principal.require_whole_organisation()
        media_type = request.content_type
        if media_type not in (CSV, SCIM, JSON):
            raise BadRequest(f"The body must be {CSV}, {SCIM} or {JSON}, and Content-Type must say which.")
        data = await whole_body(request, _LARGEST)
        try:
            document = await asyncio.to_thread(read_document, data, media_type, query.employee_from)
            found = await self._imported(caller, document, query)
        except DocumentUnusable as error:
            errors = [{"place": one.place, "detail": one.detail} for one in error.problems]
            raise BadRequest(str(error), errors) from error
        return web.json_response(_import_view(caller.organisation, found, dry_run=query.dry_run))

    @endpoint("GET /v1/directory/people", scope="spend:read", answers={200: PeoplePage})
    async def people(self, caller: Caller, query: PeopleQuery) -> web.Response:
        """List people, by employee; ``next_after`` continues.

        Names are shown with the scope `receipts:personal`, and that they were is in the access log.
        """
        organisation, within = caller.organisation, _part_of(caller.principal)
        if query.department not in (None, within.department) and within.department is not None:
            raise Forbidden("The API key is bound to another department.")
        within = within.over(Attribution(department=query.department))
        personal, vault = caller.principal.may("receipts:personal"), self.disclosures.vault

        def read(connection: Connection) -> tuple[Any, dict[str, str]]:
            rows = rows_of(connection, organisation, within, query.after or "", query.limit)
            return rows, opened_names(vault, rows) if personal else {}

        rows, names = await self.database.read(read)
        read_of = [row.id for row in rows if row.employee in names]
        await self.disclosures.note(reader_of(caller.principal, _PEOPLE), organisation, read_of)
        page: PeoplePage = {
            "people": [
                {
                    "id": row.id,
                    "employee": row.employee,
                    "display_name": names.get(row.employee),
                    "department": row.department,
                    "active": row.active,
                }
                for row in rows
            ],
            "next_after": rows[-1].employee if len(rows) == query.limit else None,
        }
        return web.json_response(page)

    @endpoint("GET /v1/directory/departments", scope="spend:read", answers={200: DepartmentsPage})
    async def departments(self, caller: Caller, query: DepartmentsQuery) -> web.Response:
        """List departments, by id; ``next_after`` continues.

        Who is bound to an employee sees the department of that one, and no count of others.
        """
        within = _part_of(caller.principal)
        rows = await self.database.read(
            lambda connection: department_rows(connection, caller.organisation, within, query.after or "", query.limit)
        )
        page: DepartmentsPage = {
            "departments": [
                {"department": row.department, "display_name": row.display_name, "people": row.people} for row in rows
            ],
            "next_after": rows[-1].department if len(rows) == query.limit else None,
        }
        return web.json_response(page)

    async def _imported(self, caller: Caller, document: Document, query: ImportQuery) -> Differences:
        vault, organisation, prune, now = self.disclosures.vault, caller.organisation, query.prune, self.clock.now()
        ahead = await self.database.read(
            lambda connection: look_ahead(connection, vault, organisation, document, prune=prune), long=True
        )
        if query.dry_run or not ahead.any:  # what changes nothing need not keep others from writing
            return ahead
        return await self.database.write(
            lambda connection: import_document(
                connection,
                vault,
                organisation,
                document,
                prune=prune,
                actor=caller.principal.actor,
                new_id=self.new_id,
                at=now,
            )
        )


def _part_of(principal: Principal) -> Attribution:
    """Give the part of the directory that somebody may see.

    Raises:
        Forbidden: if they are bound to a level that it does not have.
    """
    bound = principal.bound_to
    if bound.project is not None or bound.client is not None:
        raise Forbidden("The API key is bound to a project or a client; the directory has departments and people only.")
    return Attribution(department=bound.department, employee=bound.employee)


def _import_view(organisation: str, found: Differences, *, dry_run: bool) -> ImportView:
    return {
        "organisation": organisation,
        "dry_run": dry_run,
        "people": _difference_view(found.people),
        "departments": _difference_view(found.departments),
        "departments_made": found.made,
        "erased": found.erased,
    }


def _difference_view(found: Difference) -> DifferenceView:
    return {
        "added": found.added,
        "changed": found.changed,
        "unchanged": found.unchanged,
        "removed": found.removed,
        "kept": found.kept,
    }
