"""Whose a call is: the directory adds a department and changes nothing else, in every replica alike."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from p402.collector.storage.driver import raw_driver
from p402.collector.storage.employee_departments import EmployeeDepartments
from p402.collector.storage.owners import Owners
from p402.collector.storage.suppressions import Suppressions
from p402.vocabulary import Attribution
from support.clock import FakeClock
from support.databases import kept_in
from support.directory import import_csv, people_csv
from support.open_books import OpenBooks, open_books, vault_keys
from support.otlp import ASpan

NODES = st.one_of(st.none(), st.sampled_from(["e-1", "e-2", "legal", "sales", "x"]))
ORGANISATIONS = st.sampled_from(["acme", "initech"])
OWNERS = st.builds(Attribution, ORGANISATIONS, NODES, NODES, NODES, NODES, NODES)
AT = FakeClock().now()


def test_a_named_department_never_changes_and_neither_does_any_other_level(tmp_path: Path) -> None:
    listed = {"e-1": "legal", "e-2": None, "legal": "sales"}

    async def fill() -> None:
        async with open_books(tmp_path) as books:
            await import_csv(books, people_csv(*(f"{who},,{where or ''}" for who, where in listed.items())))

    asyncio.run(fill())
    owners = Owners(Suppressions(vault_keys(tmp_path)), EmployeeDepartments())

    engine = kept_in(tmp_path).backend().engine
    with engine.connect() as connection:
        sql = raw_driver(connection)

        @given(st.lists(OWNERS, max_size=8))
        def law(asked: list[Attribution]) -> None:
            together = owners.among(sql, asked, owners.erased(sql, asked, AT))
            for whose in asked:
                recorded = owners.apply(sql, whose, AT)
                assert recorded == together.get(whose, whose)
                of_employee = listed.get(whose.employee or "") if whose.organisation == "acme" else None
                assert recorded.department == (whose.department or of_employee)
                assert recorded == whose.over(Attribution(department=of_employee))

        law()
    engine.dispose()


async def charged_to(books: OpenBooks) -> str:
    """The department of a call that names only its employee."""
    await books.send(ASpan.of({"p402.employee": "e-1", "p402.department": None}))
    return str(
        books.value("SELECT department FROM charges JOIN scopes ON scopes.id = scope_id ORDER BY seq DESC LIMIT 1")
    )


async def test_what_another_replica_imported_holds_from_the_next_call_on(tmp_path: Path) -> None:
    async with open_books(tmp_path) as ours, open_books(tmp_path) as other:
        assert await charged_to(ours) == ""
        await import_csv(other, people_csv("e-1,Ada,legal"))
        assert await charged_to(ours) == "legal"
        await import_csv(other, people_csv("e-1,Ada,sales"))
        assert await charged_to(ours) == "sales"
        await import_csv(other, people_csv("e-2,Bob,sales"), prune=True)
        assert await charged_to(ours) == ""
