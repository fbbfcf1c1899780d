"""Books with a vault that people can be erased from; and a look for names in all that is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from p402.collector.privacy.suppression_file import SuppressionFile
from p402.collector.storage.access_log import AccessLog
from p402.collector.storage.disclosures import Disclosures
from p402.collector.storage.erasure_rows import StoredErasure
from p402.collector.storage.erasure_runs import ErasureRuns
from p402.collector.storage.erasures import Erasures
from p402.collector.storage.holds import Holds, StoredHold
from p402.collector.storage.receipt_reviews import ReceiptReviews
from p402.collector.storage.usage import SqlUsage
from p402.collector.usage.roll_up import UsageRollUp
from p402.receipts import leaf_hash
from p402.vocabulary import Attribution
from support.clock import CountingIds, FakeClock
from support.databases import Kept
from support.open_books import OpenBooks, open_books
from support.otlp import ASpan

BASIS = "GDPR Art. 17(1)(b)"


@dataclass(frozen=True)
class PersonalBooks:
    """Books, and what is done about the personal data in them."""

    books: OpenBooks
    changes: Erasures
    erasures: ErasureRuns
    holds: Holds
    access_log: AccessLog
    disclosures: Disclosures
    reviews: ReceiptReviews
    file: SuppressionFile

    async def sealed(self, *spans: ASpan) -> None:
        """Send spans; their sessions fall silent and get their receipts."""
        await self.books.send(*spans)
        await UsageRollUp(SqlUsage(self.books.database)).catch_up()
        await self.books.sealer.catch_up()
        self.books.clock.advance(hours=1)
        await self.books.sealer.catch_up()

    async def erase(self, employee: str = "e-1042", by: str = "dpo") -> StoredErasure:
        return await self.erasures.erase("acme", employee, BASIS, by, None)

    async def hold(
        self,
        begin: datetime | None = None,
        end: datetime | None = None,
        matter: str = "doe-v-acme",
        **scope: str,
    ) -> StoredHold:
        """Place a hold on a part of acme."""
        within = Attribution(**{"organisation": "acme", **scope})
        hold_id = f"hold_{matter}"
        now = self.books.clock.now()
        return await self.books.database.write(
            lambda connection: self.holds.place(
                connection, hold_id, within, matter, begin, end, "counsel", "litigation about the contract", now
            )
        )

    async def release(self, hold: StoredHold) -> None:
        """Release a hold, and let erase what it kept."""
        now = self.books.clock.now()
        people = await self.erasures.held_people("acme")

        def change(connection: Any) -> None:
            self.holds.release(connection, "acme", hold.hold.id, "counsel", None, now)
            self.erasures.complete(connection, "acme", people, now)

        await self.books.database.write(change)
        await self.erasures.catch_up()

    def spend(self, level: str) -> dict[str, int]:
        """What each node has spent, in nano-USD."""
        found = self.books.rows(
            f"SELECT node, SUM(cost_nano_usd) FROM spend_hourly WHERE level = '{level}' GROUP BY node ORDER BY node"
        )
        return dict(found)


@asynccontextmanager
async def personal_books(folder: Path, clock: FakeClock | None = None) -> AsyncIterator[PersonalBooks]:
    """Open the books in a folder; opening them again is a restart of the collector."""
    async with open_books(folder, clock) as books:
        file = SuppressionFile(folder / "erasures")
        ids = CountingIds()
        changes = Erasures(books.vault, books.signers, file, ids)
        access_log = AccessLog(books.vault, books.signers)
        yield PersonalBooks(
            books,
            changes,
            ErasureRuns(books.database, changes, books.kept.backend(), books.clock),
            Holds(books.vault, books.signers),
            access_log,
            Disclosures(books.database, books.vault, access_log, books.clock),
            ReceiptReviews(books.vault, books.signers, ids),
            file,
        )


def tables_with(kept: Kept, names: Iterable[str]) -> dict[str, list[str]]:
    """Search every column of every table; the tables that hold a name, by name."""
    found: dict[str, list[str]] = {}
    wanted = list(names)
    for table in tables_of(kept):
        content = "\n".join(_text(value) for row in kept.rows(f'SELECT * FROM "{table}"') for value in row)
        for name in wanted:
            if any(spelling in content for spelling in spellings(name)):
                found.setdefault(name, []).append(table)
    return found


def files_with(folder: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """Search the bytes of every file in a folder; the files that hold a name, by name."""
    found: dict[str, list[str]] = {}
    contents = {file.name: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    for name in names:
        wanted = [spelling.encode() for spelling in spellings(name)]
        files = [file for file, content in contents.items() if any(spelling in content for spelling in wanted)]
        if files:
            found[name] = files
    return found


def tables_of(kept: Kept) -> list[str]:
    """Name every table."""
    query = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
        "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    }
    return sorted(name for (name,) in kept.rows(query[kept.kind]))


def spellings(name: str) -> set[str]:
    """A name as it is, and as JSON writes it."""
    return {name, json.dumps(name)[1:-1]}


def _text(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", errors="replace")
    return str(value)


def call(employee: str | None, session: str | None, **levels: str) -> ASpan:
    """A call of somebody in a session."""
    named = {f"p402.{level}": value for level, value in levels.items()}
    return ASpan.of({"p402.employee": employee, "p402.session": session, **named})


@pytest.fixture
async def personal(tmp_path: Path) -> AsyncIterator[PersonalBooks]:
    """Books about people, empty."""
    async with personal_books(tmp_path) as books:
        yield books


def chain_is_whole(entries: list[dict[str, Any]], rows: list[tuple[Any, ...]]) -> bool:
    """Whether each entry names the leaf hash of the one before it."""
    leaves = [leaf_hash(bytes(body)).hex() for (body,) in rows]
    return [entry["prev"] for entry in entries] == ["0" * 64, *leaves[:-1]]
