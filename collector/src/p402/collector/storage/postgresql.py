"""PostgreSQL: several collectors on one database, whose writers take turns.

Each transaction of a writer begins with the same advisory lock, so that what one has committed is there for the next to
see: whatever holds with one writer, holds with the writers of all replicas.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import conninfo, errors, pq
from psycopg.abc import Buffer
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import QueuePool

from p402.collector.storage.connections import CONNECTIONS
from p402.vocabulary import Permanent

__all__ = ["DatabaseUrlInvalid", "PostgresqlBackend"]

_TURN = 402_402_402
"""The advisory lock of whoever writes; the same in all versions, since they may run side by side during an upgrade."""

_CHANNEL = "p402"
_WAIT_SECONDS = 10  # for a connection of the pool
_PAUSE_SECONDS = 0.5

_SESSION = (
    "SET synchronous_commit = on",  # an acknowledged batch is on disk, whatever the server's default is
    "SET lock_timeout = '10s'",  # then the caller is told to try again
    "SET idle_in_transaction_session_timeout = '30s'",  # a replica that vanished must not hold up the others
)
_NEVER_OFF = ("fsync", "full_page_writes")
_DEFAULTS = {
    "application_name": "p402",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}


class DatabaseUrlInvalid(Permanent):
    """The address of the database cannot be read."""


class _TextDumper(StrDumperUnknown):
    """Writes a text whose sender put a NUL into it, which this server takes nowhere, with a mark in its place."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd"))


class PostgresqlBackend:
    """Implements `storage.backend.Backend`."""

    unavailable: tuple[type[Exception], ...] = (psycopg.OperationalError, errors.ReadOnlySqlTransaction)

    def __init__(self, url: str) -> None:
        parameters = _read(url)
        self._connect_to = conninfo.make_conninfo(**{**_DEFAULTS, **parameters})
        host, port = (parameters.get(name) for name in ("host", "port"))
        name = parameters.get("dbname") or parameters.get("user") or "p402"
        self.place = f"{name} at {host or 'localhost'}" + (f":{port}" if port else "")
        self._sender = secrets.token_hex(8)
        self.engine = create_engine(
            "postgresql+psycopg://",
            hide_parameters=True,  # they are what people are called
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=_WAIT_SECONDS,
            pool_use_lifo=True,
        )

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._connect_to, autocommit=True)  # we say BEGIN ourselves
        connection.adapters.register_dumper(str, _TextDumper)
        try:
            connection.execute("; ".join(_SESSION))
        except BaseException:
            connection.close()
            raise
        return connection

    def prepare(self) -> None:
        """Do nothing: the database is made by its administrator."""

    def begin_change(self, connection: Connection) -> None:
        """Wait for our turn. What the writer before us committed is seen by every statement after that."""
        connection.exec_driver_sql(f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({_TURN})")

    def begin_migration(self, connection: Connection) -> None:
        """Wait for our turn, however long another process migrates."""
        connection.exec_driver_sql(
            "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
        )
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")

    def begin_query(self, connection: Connection) -> None:
        """Begin to read; the first statement fixes the snapshot."""
        connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def is_in_transaction(self, connection: Connection) -> bool:
        """Tell whether the connection lives."""
        if connection.invalidated:
            return False
        status = _raw(connection).info.transaction_status
        return status in {pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR}

    def commit(self, connection: Connection, topics: Sequence[str]) -> None:
        """Commit; the signals are sent with it."""
        raw = _raw(connection)
        if topics:
            payloads = [f"{self._sender} {topic}" for topic in dict.fromkeys(topics)]
            raw.execute("SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload", (_CHANNEL, payloads))
        done = raw.execute("COMMIT").statusmessage
        if done != "COMMIT":  # a transaction with an error in it ends in a rollback, without an error
            raise psycopg.OperationalError(f"the transaction was not committed but ended in {done}")

    def sync(self, connection: Connection) -> None:
        """Do nothing: a server does that when it recovers from a crash, before it lets anybody in."""

    def scrub(self, *, whole: bool = False) -> bool:
        """Do what `rewrite` does."""
        return self.rewrite(whole=whole)

    def empty_log(self) -> bool:
        """Do nothing: the log is the server's."""
        return True

    def rewrite(self, *, whole: bool = False) -> bool:  # noqa: ARG002 - it is always all
        """Have the server reuse the space of deleted rows. It does not overwrite them, nor its logs and backups."""
        with self._connect() as connection:
            connection.execute("VACUUM")
        return True

    def risks(self) -> list[str]:
        """Say which settings of the server may lose what it has committed."""
        with self._connect() as connection:
            shown = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in _NEVER_OFF}
        return [
            f"The server of {self.place} runs with {name}=off: a power cut can lose or destroy what it has committed. "
            "Switch it on in postgresql.conf."
            for name, value in shown.items()
            if value == ("off",)
        ]

    def watch(
        self,
        write: Callable[[Callable[[Connection], Any]], Any],  # noqa: ARG002 - the server brings the news
        tell: Callable[[str], None],
        stopped: threading.Event,
    ) -> None:
        """Listen. After every connecting ``*`` is told, since what was signalled before it was missed."""
        while not stopped.is_set():
            try:
                with psycopg.connect(self._connect_to, autocommit=True) as connection:
                    connection.execute(f"LISTEN {_CHANNEL}")
                    tell("*")
                    while not stopped.is_set():
                        for heard in connection.notifies(timeout=_PAUSE_SECONDS):
                            sender, _, topic = heard.payload.partition(" ")
                            if sender != self._sender:  # our own were told at the commit
                                tell(topic)
            except psycopg.OperationalError:
                stopped.wait(_PAUSE_SECONDS)


def _read(url: str) -> dict[str, Any]:
    invalid = DatabaseUrlInvalid(
        "P402_DATABASE_URL cannot be read. It looks like postgresql://user:password@host:5432/database, or "
        "postgresql://user@/database?host=/var/run/postgresql for a socket; write special characters as %XX."
    )
    try:
        parameters: dict[str, Any] = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its text may hold a part of the password
        raise invalid from None
    ports = str(parameters.get("port", "")).replace(",", "")
    if (ports and not ports.isdigit()) or "@" in str(parameters.get("dbname", "")):
        raise invalid  # a password with a slash in it was taken for a port and a name
    return parameters


def _raw(connection: Connection) -> Any:
    return connection.connection.driver_connection
