"""What nodes are called on pages: departments by their name, people by theirs where that may be seen, and then it is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection

from p402.collector.api.auth import reader_of
from p402.collector.api.endpoint import Caller
from p402.collector.dashboard.format import someone
from p402.collector.dashboard.view import View
from p402.collector.storage.database import Database
from p402.collector.storage.directory_list import department_names
from p402.collector.storage.directory_names import names_of_people
from p402.collector.storage.disclosures import Disclosures
from p402.collector.usage.slices import Dimension
from p402.vocabulary import Attribution, Clock, Level, is_valid_id

__all__ = ["Names", "Naming", "Nodes", "asked_for", "nodes_of"]

_PERSONAL = "receipts:personal"
_NOTED_FOR = timedelta(minutes=10)
_MOST_REMEMBERED = 1_000  # readers' pages

T = TypeVar("T")

Nodes = Iterable[tuple[str, str | None]]
"""Levels and ids of what a page shows; others than departments and employees are called by their ids."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the nodes of a page are called."""

    departments: Mapping[str, str] = field(default_factory=dict)
    employees: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Each after the id by which the access log names the person."""
    hidden: bool = False
    """Whether people are told apart only."""

    def of(self, level: str, node: str) -> str:
        """Give what a node is called; its id if it has no name that may be seen."""
        if level == Level.EMPLOYEE and self.hidden:
            return someone(node)
        if level == Level.EMPLOYEE and node in self.employees:
            return self.employees[node][1]
        return self.departments.get(node, node) if level == Level.DEPARTMENT else node

    def in_words(self, level: str, node: str) -> str:
        """Give what a node is called in a sentence, with its id, unless that is hidden."""
        name = self.of(level, node)
        return name if name == node or (level == Level.EMPLOYEE and self.hidden) else f"{name} ({node})"


class Naming:
    """Reads what pages show with the names of its nodes, and notes that those of people were shown."""

    def __init__(self, database: Database, disclosures: Disclosures, clock: Clock) -> None:
        self._database = database
        self._disclosures = disclosures
        self._clock = clock
        self._noted: dict[tuple[str | None, str, str], tuple[frozenset[str], datetime]] = {}

    async def read(
        self,
        caller: Caller,
        query: View,
        page: str,
        read: Callable[[Connection], T],
        nodes: Callable[[T], Nodes],
        *,
        long: bool = False,
    ) -> tuple[T, Names]:
        """Read what a page shows, and what the nodes on it are called; whose names it shows is noted first.

        Args:
            caller: who looks: people are named to whoever may see personal data.
            query: of the page; it may hide people.
            page: its endpoint, such as ``GET /spend/{dimension}``.
            read: reads what is shown.
            nodes: gives the nodes on it.
            long: see `Database.read`.
        """

        def named(connection: Connection) -> tuple[T, Names]:
            found = read(connection)
            return found, self._names(connection, caller, nodes(found), hidden=query.people == "hidden")

        found, names = await self._database.read(named, long=long)
        await self._note(caller, page, names)
        return found, names

    async def look_up(self, caller: Caller, query: View, page: str, nodes: Nodes) -> Names:
        """Look up what nodes are called of something that is read already; see `read`."""
        return (await self.read(caller, query, page, lambda _: nodes, lambda nodes: nodes))[1]

    def _names(self, connection: Connection, caller: Caller, nodes: Nodes, *, hidden: bool) -> Names:
        wanted: dict[str, set[str]] = {Level.DEPARTMENT: set(), Level.EMPLOYEE: set()}
        for level, node in nodes:
            if node and is_valid_id(node) and level in wanted:  # a receipt that somebody broke may say anything
                wanted[level].add(node)
        people = set() if hidden or not caller.principal.may(_PERSONAL) else wanted[Level.EMPLOYEE]
        organisation, vault = caller.organisation, self._disclosures.vault
        return Names(
            department_names(connection, organisation, wanted[Level.DEPARTMENT]),
            names_of_people(connection, vault, organisation, people),
            hidden,
        )

    async def _note(self, caller: Caller, page: str, names: Names) -> None:
        """Note whose names a page shows: once for as long as it stays open, and again after ten minutes."""
        shown = {id_ for id_, _ in names.employees.values()}
        view, now = (caller.principal.actor, caller.organisation, page), self._clock.now()
        known, at = self._noted.get(view, (frozenset[str](), now))
        if not shown or (shown <= known and now - at < _NOTED_FOR):
            return
        await self._disclosures.note(reader_of(caller.principal, page), caller.organisation, sorted(shown))
        if len(self._noted) >= _MOST_REMEMBERED:
            self._noted.clear()
        self._noted[view] = frozenset(shown), now


def nodes_of(*owners: Attribution) -> Nodes:
    """Give the nodes of owners."""
    return [(level.value, node) for owner in owners for level, node in owner]


def asked_for(caller: Caller, only: Mapping[Dimension, str], *, shown: bool) -> Nodes:
    """Give the nodes that a page is narrowed to, as far as whoever looks may know what they are called.

    Anybody can write any id into an address. So who sees a part only is told names of what is in it, and nothing of others.

    Args:
        caller: who looks.
        only: what the address asks for.
        shown: whether the page shows anything of it.
    """
    knows = shown or caller.principal.is_of_whole_organisation
    return [(dimension.value, value) for dimension, value in only.items()] if knows else []
