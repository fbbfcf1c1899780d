"""Books whose receipts are settled on a chain in memory, a step at a time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from p402.collector.observed_work import Observe, unobserved
from p402.collector.settlement.mpp import MppPayee, MppPayer
from p402.collector.settlement.mpp_client import MppClient
from p402.collector.settlement.ports import KeptTransaction, Settlement
from p402.collector.settlement.reconcile import SettlementReconciler
from p402.collector.settlement.rules import SettlementRule, SettlementRules, Triggers
from p402.collector.settlement.worker import SettlementWorker
from p402.collector.storage.chain_checks import SqlChainChecks
from p402.collector.storage.leaders import Leadership
from p402.collector.storage.mpp_payments import SqlMppPayments
from p402.collector.storage.settlements import SqlSettlements, settlements_page
from p402.receipts import SettlementMode
from p402.vocabulary import Money, new_id
from support.chain_twin import ChainTwin, SettlerTwin
from support.clock import FakeClock
from support.open_books import OpenBooks, open_books
from support.otlp import ASpan

INTERVAL = timedelta(minutes=10)
TRIGGERS = Triggers(interval=INTERVAL, receipts=1000, accrued=Money.parse("100"))
PAYEE = "0x" + "22" * 20
ANCHOR = SettlementRule(SettlementMode.ANCHOR, None, Money(0))
ANCHOR_ALL = SettlementRules(ANCHOR)
REFERENCE = SettlementRule(SettlementMode.REFERENCE, None, Money(0))
PAY = SettlementRule(SettlementMode.PAY, PAYEE, Money.parse("0.1"))


@dataclass
class Settling:
    """Books, a chain, and the worker between them."""

    books: OpenBooks
    chain: Any
    """A `ChainTwin`, or the `Anvil` that stands in its place."""
    settler: Any
    store: Any
    rules: SettlementRules = ANCHOR_ALL
    triggers: Triggers = TRIGGERS
    payee: MppPayee = field(default_factory=MppClient)
    """What calls payees that speak MPP."""
    observe: Observe = unobserved
    """What sees the worker at work."""
    payments: Any = None
    """Where it is kept what they said."""

    def __post_init__(self) -> None:
        self.payments = self.payments or SqlMppPayments(self.books.database)

    @property
    def worker(self) -> SettlementWorker:
        """A worker that has just started: it remembers nothing."""
        books = self.books
        leadership = Leadership(books.database, "settlement", new_id("clt", books.clock.now()), books.clock)
        return SettlementWorker(
            self.store,
            leadership,
            self.settler,
            self.reconciler,
            MppPayer(self.payments, self.payee, self.settler, self.rules, books.clock),
            self.rules,
            self.triggers,
            books.metrics,
            books.clock,
            new_id,
            observe=self.observe,
        )

    @property
    def reconciler(self) -> SettlementReconciler:
        """What compares the chain with the ledger."""
        books = self.books
        leadership = Leadership(books.database, "settlement-check", "a", books.clock)
        checks = SqlChainChecks(books.database, "default")
        return SettlementReconciler(checks, leadership, self.settler, books.metrics, books.clock)

    async def receipt(self, organisation: str = "acme") -> None:
        """Seal one more receipt of $0.264235; it takes an hour."""
        began = int(self.books.clock.now().timestamp()) * 10**9
        await self.books.send(ASpan.of({"p402.organisation": organisation}, started_ns=began))
        await self.books.sealer.catch_up()
        self.books.clock.advance(hours=1)
        await self.books.sealer.catch_up()

    async def step(self, count: int = 1) -> None:
        """Let the worker move everything on, by some steps."""
        for _ in range(count):
            await self.worker.step()

    async def settle(self) -> None:
        """Plan, send, include, finalise: what a quiet day looks like."""
        await self.step()
        self.chain.block()
        self.chain.finalise()
        await self.step()

    async def settlements(self, organisation: str = "acme") -> list[Settlement]:
        """What there is, the oldest first."""
        return (await self.books.database.read(lambda connection: settlements_page(connection, organisation, 100)))[
            ::-1
        ]

    async def under_way(self) -> KeptTransaction:
        """The one transaction under way."""
        [transaction] = await self.store.transactions()
        found: KeptTransaction = transaction
        return found

    async def only(self) -> Settlement:
        """The one settlement there is."""
        [settlement] = await self.settlements()
        return settlement

    async def only_of(self, settlement: Settlement) -> Settlement:
        """A settlement as it is now."""
        return next(it for it in await self.settlements() if it.settlement_id == settlement.settlement_id)

    def log(self, organisation: str = "acme") -> list[str]:
        """The types of the log's entries."""
        return [entry["type"] for entry in self.books.entries(organisation)]

    def _is_stored(self, raw: bytes) -> None:
        """Another program that opens the file finds the bytes before they are sent."""
        stored = self.books.rows("SELECT raw FROM settlement_transactions WHERE ended_at IS NULL")
        assert (raw,) in stored, f"sent before it was stored: {json.loads(raw)}"


@asynccontextmanager
async def settling(
    folder: Path, chain: ChainTwin | None = None, clock: FakeClock | None = None
) -> AsyncIterator[Settling]:
    """Open the books in a folder for settling; opening them again is a restart."""
    chain = chain or ChainTwin()
    async with open_books(folder, clock) as books:
        settler = SettlerTwin(chain)
        opened = Settling(books, chain, settler, SqlSettlements(books.database, books.signers))
        settler.before_sending = opened._is_stored
        yield opened
        await opened.payee.close()
