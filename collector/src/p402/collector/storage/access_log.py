"""The access log: a row for every read of personal data, written before the answer leaves, later hashed into the log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection

from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.driver import driver
from p402.collector.storage.log import Signers, append_entry
from p402.collector.storage.log_keys import LogOfAnotherKey
from p402.collector.storage.vault import Kept, Vault, person
from p402.receipts import Entry, EntryPlace, access_log_digest, access_log_entry, commit
from p402.vocabulary import rfc3339

__all__ = ["ACCESS_LOG_TYPE", "Access", "AccessLog", "AccessLogSealing", "AccessRow", "access_page"]

ACCESS_LOG_TYPE = "access-log"
ROWS_IN_ENTRY = 1_000
_MOST_ITEMS = 100  # that a row names; of more it names the first and the last
_COLUMNS = "number, at, key_id, who, what, items, count, seq"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Somebody reads personal data."""

    organisation: str
    key_id: str | None
    """Of the API key; None: somebody on this machine."""
    who: str | None
    """The person that the key is bound to, if it is."""
    what: str
    """The endpoint, such as ``GET /v1/receipts/{receipt_id}``; never an address with names in it."""
    items: Sequence[str]
    """Ids of what was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRow:
    """A row of the access log."""

    number: int
    at: datetime
    key_id: str | None
    who: str | None
    """A digest that the vault can open, until the reader is erased."""
    what: str
    items: Any
    count: int
    seq: int | None
    """The entry of the log that covers it; None: none does yet."""

    def line(self) -> Mapping[str, Any]:
        """Give what is hashed of it."""
        return {
            "number": self.number,
            "at": rfc3339(self.at),
            "key_id": self.key_id,
            "who": self.who,
            "what": self.what,
            "items": self.items,
            "count": self.count,
        }


class AccessLog:
    """Writes rows, and hashes them into the log, inside changes."""

    def __init__(self, vault: Vault, signers: Signers) -> None:
        self._vault = vault
        self._signers = signers

    def record(self, connection: Connection, access: Access, at: datetime) -> int:
        """Note a read; gives the row's number: they have no gaps."""
        sql = driver(connection)
        who = None
        if access.who is not None:
            commitment = commit("reader", access.who)
            kept = Kept(commitment.disclosure, person(access.who))
            [who] = self._vault.keep(connection, access.organisation, None, [kept])
        items: Any = list(access.items)
        if len(items) > _MOST_ITEMS:
            items = {"first": items[0], "last": items[-1]}
        newest = sql.execute("SELECT MAX(number) FROM access_log WHERE organisation = ?", (access.organisation,))
        number = int(newest.fetchone()[0] or 0) + 1
        sql.execute(
            f"INSERT INTO access_log (organisation, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                access.organisation,
                number,
                to_millis(at),
                access.key_id,
                who,
                access.what,
                json.dumps(items),
                len(access.items),
            ),
        )
        return number

    def seal(self, connection: Connection, organisation: str, at: datetime) -> int:
        """Hash the oldest rows that no entry covers into the log, at most a thousand; gives how many those were."""
        sql = driver(connection)
        found = sql.execute(
            f"SELECT {_COLUMNS} FROM access_log WHERE organisation = ? AND seq IS NULL ORDER BY number LIMIT ?",
            (organisation, ROWS_IN_ENTRY),
        ).fetchall()
        rows = [_row(row) for row in found]
        if not rows:
            return 0

        def make(seq: int, prev: bytes) -> Entry:
            return access_log_entry(
                EntryPlace(organisation=organisation, seq=seq, prev=prev, issued_at=at),
                first=rows[0].number,
                last=rows[-1].number,
                count=len(rows),
                sha256=access_log_digest(row.line() for row in rows),
                begin=min(row.at for row in rows),
                end=max(row.at for row in rows),
            )

        entry = append_entry(connection, organisation, ACCESS_LOG_TYPE, make, self._signers.signer(organisation), at)
        sql.execute(
            "UPDATE access_log SET seq = ? WHERE organisation = ? AND number BETWEEN ? AND ?",
            (entry.seq, organisation, rows[0].number, rows[-1].number),
        )
        return len(rows)


class AccessLogSealing:
    """Hashes rows into the logs while nobody waits for it. Implements `privacy.ports.AccessRows`."""

    def __init__(self, database: Database, access_log: AccessLog) -> None:
        self._database = database
        self._access_log = access_log

    async def seal_due(self, at: datetime, longest: timedelta) -> int:
        """Hash rows into the log of organisations with a thousand of them, or with one that is older than `longest`."""
        sealed = 0
        for organisation, count, since in await self._database.read(unsealed_accesses):
            try:
                while count >= ROWS_IN_ENTRY or (count > 0 and at - since >= longest):
                    done = await self._database.write(partial(self._seal, organisation, at))
                    sealed += done
                    count -= max(done, 1)  # noqa: PLW2901 - another collector may have been faster
            except LogOfAnotherKey:  # the others' rows are hashed all the same
                log.exception("access_log_not_sealed", organisation=organisation)
        return sealed

    def _seal(self, organisation: str, at: datetime, connection: Connection) -> int:
        return self._access_log.seal(connection, organisation, at)


def unsealed_accesses(connection: Connection) -> list[tuple[str, int, datetime]]:
    """Give the organisations with rows that no entry covers: how many, and since when."""
    rows = driver(connection).execute(
        "SELECT organisation, COUNT(*), MIN(at) FROM access_log WHERE seq IS NULL GROUP BY organisation"
    )
    return [(organisation, int(count), from_millis(int(at))) for organisation, count, at in rows]


def access_page(connection: Connection, organisation: str, after: int, limit: int) -> list[AccessRow]:
    """Give the next rows of an organisation, in the order of their numbers."""
    rows = driver(connection).execute(
        f"SELECT {_COLUMNS} FROM access_log WHERE organisation = ? AND number > ? ORDER BY number LIMIT ?",
        (organisation, after, limit),
    )
    return [_row(row) for row in rows]


def _row(row: Sequence[Any]) -> AccessRow:
    number, at, key_id, who, what, items, count, seq = row
    return AccessRow(
        number=number,
        at=from_millis(at),
        key_id=key_id,
        who=who,
        what=what,
        items=json.loads(items),
        count=count,
        seq=seq,
    )
