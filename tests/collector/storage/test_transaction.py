"""What the changes of one transaction know in common, and write together."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

import p402.collector.storage
from p402.collector.budgets.budget import Balance, OnPath
from p402.collector.budgets.path import AccountKey, BudgetPath
from p402.collector.storage.account_memory import AmountTooLarge, Change
from p402.collector.storage.accounts import balances_of, change_accounts, rename_accounts
from p402.collector.storage.budget_tables import budget_accounts, leases
from p402.collector.storage.budgets import apply_budgets
from p402.collector.storage.driver import driver
from p402.collector.storage.leases import LeaseKind, lease_by_id, open_lease
from p402.collector.storage.rule_changes import rules_changed, rules_version
from p402.decisions import Measure
from p402.vocabulary import Attribution
from support.budgeted import KEY, NOW, Budgeted, a_budget, budgeted
from support.changes import Refused, together

LEGAL = Attribution(organisation="acme", department="legal")


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Budgeted]:
    async with budgeted(tmp_path) as opened:
        yield opened


def hold(path: BudgetPath, lease: str, amount: int) -> Callable[[Connection], Balance]:
    """A change: an amount is held on a path; gives what its first budget has then."""

    def change(connection: Connection) -> Balance:
        sql = driver(connection)
        balances_of(sql, path, NOW)
        amounts, longest = {Measure.COST: amount}, timedelta(minutes=1)
        kind = LeaseKind.DECISION
        open_lease(
            sql,
            id_=lease,
            kind=kind,
            key_id=KEY,
            attribution=LEGAL,
            path=path,
            amounts=amounts,
            at=NOW,
            longest=longest,
        )
        return balances_of(sql, path, NOW)[0]

    return change


def refused_after(change: Callable[[Connection], Any]) -> Callable[[Connection], Any]:
    def refused(connection: Connection) -> None:
        change(connection)
        raise Refused("too late")

    return refused


async def test_a_refused_change_takes_back_what_it_held_and_nothing_else(books: Budgeted) -> None:
    await books.put(a_budget())
    path = await books.path()
    changes = [hold(path, "one", 5), refused_after(hold(path, "two", 70)), hold(path, "three", 900)]
    one, two, three = await together(books.database, *changes)
    assert isinstance(two, Refused)
    assert (one.held, three.held) == (5, 905)
    assert books.kept.rows("SELECT held FROM budget_accounts") == [(905,)]
    assert books.kept.rows("SELECT lease_id, remaining FROM lease_holds ORDER BY 2") == [("one", 5), ("three", 900)]


async def test_a_refused_change_that_used_sql_is_undone_alone_too(books: Budgeted) -> None:
    await books.put(a_budget())
    path = await books.path()

    def found(connection: Connection) -> None:
        hold(path, "two", 70)(connection)
        assert lease_by_id(driver(connection), "two")
        hold(path, "again", 7_000)(connection)

    one, _, three = await together(books.database, hold(path, "one", 5), refused_after(found), hold(path, "three", 900))
    assert (one.held, three.held) == (5, 905)
    assert books.kept.rows("SELECT held FROM budget_accounts") == [(905,)]
    assert books.kept.rows("SELECT id FROM leases ORDER BY id") == [("one",), ("three",)]


async def test_statements_of_a_change_see_what_the_changes_before_it_and_itself_have_done(books: Budgeted) -> None:
    await books.put(a_budget())
    path = await books.path()

    def through_the_driver(connection: Connection) -> Any:
        hold(path, "two", 70)(connection)
        return driver(connection).execute("SELECT held, (SELECT COUNT(*) FROM leases) FROM budget_accounts").fetchone()

    def through_sqlalchemy(connection: Connection) -> Any:
        hold(path, "three", 900)(connection)
        return connection.execute(
            select(budget_accounts.c.held, select(func.count()).select_from(leases).scalar_subquery())
        ).one()

    _, seen, also = await together(books.database, hold(path, "one", 5), through_the_driver, through_sqlalchemy)
    assert (tuple(seen), tuple(also)) == ((75, 2), (975, 3))


async def test_a_commit_that_fails_forgets_what_all_of_its_changes_did(books: Budgeted) -> None:
    await books.put(a_budget())
    path = await books.path()
    await books.write(hold(path, "before", 1))
    with books.kept.refusing_rows_of("leases", "no more leases"):
        answers = await together(books.database, hold(path, "one", 5), hold(path, "two", 70))
    assert [str(answer).count("no more leases") for answer in answers] == [1, 1]
    assert (await books.write(hold(path, "three", 900))).held == 901
    assert books.kept.rows("SELECT held FROM budget_accounts") == [(901,)]


async def test_what_another_process_wrote_is_seen_by_the_next_transaction(books: Budgeted) -> None:
    await books.put(a_budget())
    path = await books.path()
    await books.write(hold(path, "one", 5))
    books.kept.run("UPDATE budget_accounts SET held = held + 1000")
    assert (await books.write(hold(path, "two", 70))).held == 1_075


async def test_rules_that_change_in_a_transaction_hold_for_its_next_changes_unless_that_is_undone(
    books: Budgeted,
) -> None:
    def names(connection: Connection) -> list[str]:
        return [on.budget.name for on in books.rules.of(driver(connection), "acme", NOW).on_path(LEGAL)]

    def put(name: str) -> Callable[[Connection], Any]:
        return lambda connection: apply_budgets(connection, "acme", [a_budget(name)], actor=KEY, at=NOW)

    answers = await together(books.database, names, put("a"), names, refused_after(put("b")), names, put("c"), names)
    assert answers[0::2] == [[], ["a"], ["a"], ["a", "c"]]


async def test_a_version_that_is_bumped_twice_in_a_transaction_grows_twice(books: Budgeted) -> None:
    def bump(connection: Connection) -> int:
        rules_changed(connection, "acme")
        return rules_version(driver(connection), "acme")

    first, refused, second = await together(books.database, bump, refused_after(bump), bump)
    assert (first, type(refused), second) == (1, Refused, 2)
    assert await books.write(lambda connection: rules_version(driver(connection), "acme")) == 2


async def test_an_account_that_cannot_hold_so_much_refuses_one_change_and_harms_no_other(books: Budgeted) -> None:
    await books.put(a_budget(mode="observe"))
    path = await books.path()
    huge = 2**63 - 1
    one, two, three = await together(
        books.database, hold(path, "one", 5), hold(path, "two", huge), hold(path, "three", 900)
    )
    assert isinstance(two, AmountTooLarge)
    assert (one.held, three.held) == (5, 905)
    assert books.kept.rows("SELECT held FROM budget_accounts") == [(905,)]


async def test_accounts_that_are_renamed_in_a_transaction_are_read_anew(books: Budgeted) -> None:
    await books.put(a_budget(level="employee", node="*"))
    ann, bob = [await books.path({"employee": name}) for name in ("ann", "bob")]

    def rename(connection: Connection) -> None:
        rename_accounts(driver(connection), ann[0].budget.id, "ann", "bob")

    holds = hold(ann, "one", 5), hold(bob, "two", 70), hold(bob, "three", 900), hold(ann, "four", 1)
    *_, bobs, anns = await together(books.database, *holds[:2], rename, *holds[2:])
    assert (bobs.held, anns.held) == (975, 1)


def test_accounts_are_written_by_their_own_module_alone() -> None:
    writes = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) budget_accounts|(insert|update|delete)\(budget_accounts\)")
    [folder] = p402.collector.storage.__path__
    found = {file.name for file in Path(folder).glob("*.py") if writes.search(file.read_text())}
    assert found == {"accounts.py", "account_memory.py"}


class Step(NamedTuple):
    """Something that a change does: to add to an account, to look at it, or to say SQL."""

    what: str
    node: int
    amount: int


STEPS = st.builds(
    Step, st.sampled_from(["spend", "hold", "let go", "look", "look", "sql"]), st.integers(0, 2), st.integers(1, 9)
)
CHANGES = st.lists(st.tuples(st.lists(STEPS, max_size=5), st.booleans()), min_size=1, max_size=8)


def _open_accounts(path: BudgetPath, connection: Connection) -> None:
    balances_of(driver(connection), path, NOW)


def test_changes_that_share_a_transaction_do_what_they_do_one_after_the_other(tmp_path: Path) -> None:
    """The last budget rolls; an account of it is a sum."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        books = runner.run(stack.enter_async_context(budgeted(tmp_path)))
        every = {"level": "employee", "node": "*"}
        runner.run(books.put(a_budget("month", **every), a_budget("rolls", period="rolling", length="1h", **every)))
        paths = [runner.run(books.path({"employee": f"e-{number}"})) for number in range(3)]

        for path in paths:  # open their accounts
            runner.run(books.write(partial(_open_accounts, path)))

        @given(CHANGES)
        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        def hold_true(changes: list[tuple[list[Step], bool]]) -> None:
            books.kept.run("UPDATE budget_accounts SET spent = 0, held = 0, unreconciled = 0")
            true: Counter[tuple[str, int]] = Counter()
            answers = runner.run(
                together(books.database, *(_several(paths, steps, fails=fails) for steps, fails in changes))
            )
            for (steps, fails), answer in zip(changes, answers, strict=True):
                if fails:
                    assert isinstance(answer, Refused)
                    continue
                seen = []
                for what, node, amount in steps:
                    if what == "spend":
                        true["spent", node] += amount
                    elif what in ("hold", "let go"):
                        true["held", node] += amount if what == "hold" else -amount
                    else:
                        seen += [(true["spent", node], true["held", node])] * 2
                assert answer == seen
            for node, path in enumerate(paths):
                for on in path:
                    rows = books.kept.rows(
                        "SELECT COALESCE(SUM(spent), 0), COALESCE(SUM(held), 0) FROM budget_accounts"
                        f" WHERE budget_id = {on.budget.id} AND node = 'e-{node}'"
                    )
                    assert rows == [(true["spent", node], true["held", node])]

        hold_true()
        runner.run(stack.aclose())


def _several(
    paths: list[BudgetPath], steps: list[Step], *, fails: bool
) -> Callable[[Connection], list[tuple[int, int]]]:
    def change(connection: Connection) -> list[tuple[int, int]]:
        sql, seen = driver(connection), []
        for what, node, amount in steps:
            if what == "look":
                seen += [(balance.spent, balance.held) for balance in balances_of(sql, paths[node], NOW)]
            elif what == "sql":
                for on in paths[node]:
                    since = (on.budget.id, on.node)
                    row = sql.execute(
                        "SELECT SUM(spent), SUM(held) FROM budget_accounts WHERE budget_id = ? AND node = ?", since
                    ).fetchone()
                    seen.append((int(row[0]), int(row[1])))
            else:
                change_accounts(sql, dict(_added(on, what, amount) for on in paths[node]))
        if fails:
            raise Refused("not like this")
        return seen

    return change


def _added(on: OnPath, what: str, amount: int) -> tuple[AccountKey, Change]:
    start = on.budget.period.held_in(NOW)
    change = Change(spent=amount) if what == "spend" else Change(held=amount if what == "hold" else -amount)
    return (on.budget.id, on.node, start), change
