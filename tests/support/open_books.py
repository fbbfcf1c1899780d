"""The collector's books without its doors: ledger, sessions and logs on a real SQLite file, driven by hand."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from p402.collector.dialects import DIALECTS
from p402.collector.pipeline.ingest import Ingest
from p402.collector.pricing import PriceBook, load_price_book
from p402.collector.privacy.vault_keys import VaultKeys
from p402.collector.receiver.otlp_decode import decode_traces
from p402.collector.sessions.seal import Sealer
from p402.collector.sessions.signing import LogSigners
from p402.collector.sessions.track import SessionRules
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.database import Database
from p402.collector.storage.employee_departments import EmployeeDepartments
from p402.collector.storage.ledger import SqlLedger
from p402.collector.storage.owners import Owners
from p402.collector.storage.postings import Postings
from p402.collector.storage.sessions import SqlSessions
from p402.collector.storage.suppressions import Suppressions
from p402.collector.storage.vault import Vault
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Attribution, new_id
from support.clock import FakeClock
from support.databases import Kept, kept_in
from support.otlp import ASpan, request_of

RULES = SessionRules(idle=timedelta(minutes=15), close_grace=timedelta(seconds=10), longest=timedelta(hours=24))
NOBODY = Attribution()


@dataclass(frozen=True)
class OpenBooks:
    """Everything from the decoder down to the sealed log."""

    kept: Kept
    database: Database
    ledger: SqlLedger
    ingest: Ingest
    sealer: Sealer
    signers: LogSigners
    vault: Vault
    clock: FakeClock
    metrics: CollectorMetrics

    async def send(
        self,
        *spans: ASpan,
        bound_to: Attribution = NOBODY,
        key_id: str | None = None,
        resource: Mapping[str, Any] | None = None,
    ) -> Counter[str]:
        """Take spans in as the receiver does; how many ended how."""
        return await self.ingest.ingest(decode_traces(request_of(spans, resource)).spans, bound_to, key_id)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What another program would find."""
        return self.kept.rows(sql)

    def value(self, sql: str) -> Any:
        """The one value that a query gives."""
        [(value,)] = self.rows(sql)
        return value

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that money depends on, to compare before and after."""
        tables = ("charges", "spend_hourly", "set_aside")
        return {table: self.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in tables}

    def entries(self, organisation: str = "acme") -> list[dict[str, Any]]:
        """The entries of a log in their order."""
        query = f"SELECT body FROM log_entries WHERE organisation = '{organisation}' ORDER BY seq"
        return [json.loads(body) for (body,) in self.rows(query)]


@functools.cache
def price_book() -> PriceBook:
    """The real prices."""
    return load_price_book()


def vault_keys(folder: Path) -> VaultKeys:
    """The keys of the vault in a folder; made if there are none yet."""
    keys = VaultKeys(folder / "vault.key")
    keys.make_if_missing()
    return keys


@asynccontextmanager
async def open_database(folder: Path) -> AsyncIterator[Database]:
    """The database in a folder; made if there is none yet."""
    database = Database(kept_in(folder).backend())
    database.start()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_books(
    folder: Path, clock: FakeClock | None = None, rules: SessionRules = RULES
) -> AsyncIterator[OpenBooks]:
    """The books in a folder; opening them again is a restart of the collector."""
    clock = clock or FakeClock()
    metrics = CollectorMetrics()
    signers = LogSigners(folder / "log.pem", "logs.example.com")
    signers.make_key_if_missing()
    keys = vault_keys(folder)
    async with open_database(folder) as database:
        vault, suppressions = Vault(keys), Suppressions(keys)
        departments = EmployeeDepartments()
        database.on_rollback(suppressions.forget)
        database.on_rollback(departments.forget)
        sealer = Sealer(SqlSessions(database, signers, vault, suppressions), rules, metrics, clock, new_id)
        ledger = SqlLedger(database, Postings(BudgetRules()), Owners(suppressions, departments))
        ingest = Ingest(DIALECTS, price_book(), ledger, metrics, clock, "default")
        yield OpenBooks(kept_in(folder), database, ledger, ingest, sealer, signers, vault, clock, metrics)
