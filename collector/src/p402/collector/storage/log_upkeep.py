"""What is done to logs as such: heartbeats of idle ones, and new keys. Implements `sessions.upkeep.LogStore`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.database import Database
from p402.collector.storage.log import LogWriter, Signers, append_entry
from p402.collector.storage.log_keys import keys_of_log
from p402.collector.storage.log_tables import logs
from p402.receipts import Entry, EntryPlace, RotationReason, heartbeat_entry

__all__ = ["SqlLogs", "organisations_with_logs"]


class SqlLogs:
    """The logs of all organisations."""

    def __init__(self, database: Database, signers: Signers) -> None:
        self._database = database
        self._signers = signers

    async def idle(self, since: datetime, limit: int) -> Sequence[str]:
        """Give organisations to whose logs nothing was appended since a time, the longest idle first."""
        query = select(logs.c.organisation).where(logs.c.appended_at <= to_millis(since)).order_by(logs.c.appended_at)
        return await self._database.read(lambda connection: connection.execute(query.limit(limit)).scalars().all())

    async def beat(self, organisation: str, since: datetime, at: datetime) -> bool:
        """Append a heartbeat if the log is still idle."""
        still = select(logs.c.size).where(logs.c.organisation == organisation, logs.c.appended_at <= to_millis(since))

        def make(seq: int, prev: bytes) -> Entry:
            return heartbeat_entry(EntryPlace(organisation=organisation, seq=seq, prev=prev, issued_at=at))

        def change(connection: Connection) -> bool:
            if connection.execute(still).first() is None:
                return False  # another collector was faster
            append_entry(connection, organisation, "heartbeat", make, self._signers.signer(organisation), at)
            return True

        return await self._database.write(change)

    async def not_on_newest_key(self) -> list[str]:
        """Give the organisations whose logs are signed by an older key than the newest at hand."""

        def read(connection: Connection) -> list[str]:
            return [
                organisation
                for organisation in organisations_with_logs(connection)
                if (known := keys_of_log(connection, organisation))
                and known[-1].vkey != self._signers.signer(organisation).newest.verifier_key
            ]

        return await self._database.read(read)

    async def rotate(self, reason: RotationReason, overlap_until: datetime, at: datetime) -> list[str]:
        """Give every log the newest key at hand, all of them or none; gives the organisations.

        Raises:
            LogOfAnotherKey: if the key of a log is not at hand.
        """

        def change(connection: Connection) -> list[str]:
            rotated = []
            for organisation in organisations_with_logs(connection):
                writer = LogWriter(connection, organisation, self._signers.signer(organisation), at)
                if not writer.has_newest_key:
                    writer.rotate(reason, overlap_until)
                    writer.sign()
                    rotated.append(organisation)
            return rotated

        return await self._database.write(change)


def organisations_with_logs(connection: Connection) -> list[str]:
    """Give the organisations whose logs have entries."""
    return list(connection.execute(select(logs.c.organisation).order_by(logs.c.organisation)).scalars())
