"""Budgets on a real database, driven change by change: no doors, no prices, and a clock that the test holds."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from p402.collector.budgets.budget import Balance
from p402.collector.budgets.definition import BudgetDefinition, read_definition
from p402.collector.budgets.path import BudgetPath
from p402.collector.pipeline.records import Recordable, SpanRecord
from p402.collector.storage.accounts import balance_of, balance_seen
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.budgets import BudgetChange, apply_budgets
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.employee_departments import EmployeeDepartments
from p402.collector.storage.leases import GivenBack, Lease, LeaseKind, give_back, lease_by_id, open_lease
from p402.collector.storage.ledger import SqlLedger
from p402.collector.storage.owners import Owners
from p402.collector.storage.postings import Postings
from p402.collector.storage.suppressions import Suppressions
from p402.decisions import Measure
from p402.vocabulary import Attribution, Charge, Money, Usage, UsageSource
from support.databases import Kept, kept_in
from support.open_books import open_database, vault_keys

T = TypeVar("T")
KEY = "key_1"
LEGAL: Mapping[str, str] = {"department": "legal"}
NOW = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)
_spans = itertools.count(1)
_leases = itertools.count(1)


def a_call(
    who: Mapping[str, str] = LEGAL,
    *,
    cost: int | None = 100,
    tokens: int = 10,
    at: datetime = NOW,
    lease: str | None = None,
    key: str = KEY,
) -> Recordable:
    """A charge of acme's; its cost in nano-USD."""
    number = next(_spans)
    trace_id, span_id = number.to_bytes(16, "big"), number.to_bytes(8, "big")
    charge = Charge(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        request=f"req_{number}",
        attribution=Attribution(**{"organisation": "acme", **who}),
        started_at=at,
        ended_at=at + timedelta(seconds=1),
        provider="anthropic",
        operation="chat",
        request_model="claude-opus-4-5",
        response_model=None,
        response_id=None,
        usage=Usage(input_tokens=tokens, output_tokens=0),
        usage_source=UsageSource.PROVIDER,
        cost=None if cost is None else Money(cost),
        unpriced_reason="unknown model" if cost is None else None,
        price=None,
    )
    span = SpanRecord(trace_id, span_id, None, "chat", 0, 0, False, "p402.instrumentation", {}, {})  # noqa: FBT003
    return Recordable(
        charge=charge,
        span=span,
        verified_through=None,
        key_id=key,
        call_key=None,
        may_nest=False,
        lease_id=lease,
        ours=True,
    )


def a_budget(name: str = "legal", **fields: Any) -> BudgetDefinition:
    """A monthly cap on acme's legal department, unless the fields say otherwise."""
    return read_definition({"name": name, "level": "department", "node": "legal", "cap": "1", **fields})


@dataclass(frozen=True)
class Budgeted:
    """Acme's budgets."""

    kept: Kept
    database: Database
    rules: BudgetRules
    ledger: SqlLedger

    async def write(self, change: Callable[[Connection], T]) -> T:
        return await self.database.write(change)

    async def put(self, *definitions: BudgetDefinition, at: datetime = NOW, prune: bool = False) -> list[BudgetChange]:
        """Make budgets be so."""
        return await self.write(
            lambda connection: apply_budgets(connection, "acme", definitions, actor=KEY, at=at, prune=prune)
        )

    async def record(self, *calls: Recordable, at: datetime = NOW) -> None:
        """Take charges in."""
        await self.ledger.record(calls, [], at)

    async def path(self, who: Mapping[str, str] = LEGAL, at: datetime = NOW) -> BudgetPath:
        """The budgets on a path of acme's."""
        attribution = Attribution(**{"organisation": "acme", **who})
        return await self.write(lambda connection: self.rules.of(driver(connection), "acme", at).on_path(attribution))

    async def balance(self, who: Mapping[str, str] = LEGAL, at: datetime = NOW) -> Mapping[str, Balance]:
        """What the budgets on a path have spent, hold and have not reconciled, by name; no account is opened."""
        path = await self.path(who, at)
        return await self.database.read(
            lambda connection: {on.budget.name: balance_seen(driver(connection), on, at) for on in path}
        )

    async def spent(self, who: Mapping[str, str] = LEGAL, at: datetime = NOW) -> dict[str, int]:
        """What the budgets on a path have spent, by name."""
        return {name: balance.spent for name, balance in (await self.balance(who, at)).items()}

    async def hold(
        self,
        amounts: Mapping[Measure, int],
        kind: LeaseKind = LeaseKind.LEASE,
        *,
        who: Mapping[str, str] = LEGAL,
        at: datetime = NOW,
    ) -> Lease:
        """Open a lease for a minute."""
        path, attribution = await self.path(who, at), Attribution(**{"organisation": "acme", **who})

        def change(connection: Connection) -> Lease:
            sql, id_ = driver(connection), f"lease_{next(_leases)}"
            for on in path:
                balance_of(sql, on, at)
            open_lease(
                sql,
                id_=id_,
                kind=kind,
                key_id=KEY,
                attribution=attribution,
                path=path,
                amounts=amounts,
                at=at,
                longest=timedelta(minutes=1),
            )
            return self._found(connection, id_)

        return await self.write(change)

    async def give_back(
        self, lease: Lease, *, calls: int = 0, keep: Mapping[Measure, int] | None = None, at: datetime = NOW
    ) -> GivenBack:
        """Give a lease back as its holder."""

        def change(connection: Connection) -> GivenBack:
            sql = driver(connection)
            held, budgets = self._found(connection, lease.id), self.rules.of(sql, "acme", at)
            return give_back(sql, held, budgets, calls=calls, keep=keep or {}, at=at)

        return await self.write(change)

    async def lease(self, lease: Lease) -> Lease:
        """A lease as it is now."""
        return await self.database.read(lambda connection: self._found(connection, lease.id))

    @staticmethod
    def _found(connection: Connection, lease_id: str) -> Lease:
        found = lease_by_id(driver(connection), lease_id)
        assert found is not None
        return found

    def overruns(self) -> list[tuple[str, str, int, str]]:
        """Budget, node, amount and reason."""
        return self.kept.rows(
            "SELECT budgets.name, node, amount, reason FROM overruns JOIN budgets ON budgets.id = budget_id"
            " ORDER BY overruns.id"
        )


@asynccontextmanager
async def budgeted(folder: Path) -> AsyncIterator[Budgeted]:
    """The books in a folder; opening them again is a restart."""
    async with open_database(folder) as database:
        rules = BudgetRules()
        database.on_rollback(rules.forget)
        yield Budgeted(
            kept_in(folder),
            database,
            rules,
            SqlLedger(database, Postings(rules), Owners(Suppressions(vault_keys(folder)), EmployeeDepartments())),
        )
