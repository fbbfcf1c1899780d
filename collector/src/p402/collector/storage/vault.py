"""The vault: disclosures, each encrypted under the key of whom it is about, and those keys under a key that is elsewhere.

Whoever has the database alone reads none of it. Deleting a subject's key deletes all that was ever encrypted under it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from p402.collector.privacy.vault_keys import PERSON, SESSION, VaultKeys, new_data_key, seal, unseal
from p402.collector.storage.driver import Driver, driver
from p402.receipts import open_disclosure

__all__ = ["Kept", "Subject", "Vault", "digest_of", "forget_unused_keys", "person", "subject_of_session"]

_AT_ONCE = 500  # places in one query
_INSERT = "INSERT INTO vault (organisation, seq, digest, name, subject_id, sealed) VALUES (?, ?, ?, ?, ?, ?)"
_READ = (
    "SELECT vault.seq, vault.digest, vault.name, vault.sealed, subjects.id, subjects.place, subjects.wrapped_key"
    " FROM vault JOIN subjects ON subjects.id = vault.subject_id WHERE vault.organisation = ?"
)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a disclosure is about."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A disclosure that is to be kept."""

    disclosure: str
    subject: Subject


def person(name: str) -> Subject:
    """Give the subject that a person is: as an employee, a reviewer, or whoever did something."""
    return Subject(PERSON, name)


def subject_of_session(employee: str | None, session: str | None) -> Subject:
    """Give the subject of what a session is about: its employee; of a session of nobody known it is the session itself."""
    return Subject(SESSION, session or "") if employee is None else person(employee)


def digest_of(disclosure: str) -> str:
    """Give the digest of a disclosure, as it stands in `_sd`."""
    return base64.urlsafe_b64encode(hashlib.sha256(disclosure.encode("ascii")).digest()).decode().rstrip("=")


class Vault:
    """Keeps and opens disclosures, inside changes and queries."""

    def __init__(self, keys: VaultKeys) -> None:
        self.keys = keys

    def place(self, organisation: str, subject: Subject) -> bytes:
        """Give where a subject's key is."""
        return self.keys.locate(subject.kind, organisation, subject.name)

    def keep(self, connection: Connection, organisation: str, seq: int | None, kept: Iterable[Kept]) -> list[str]:
        """Keep disclosures of an entry of the log, or of a row of the access log (None); gives their digests."""
        sql = driver(connection)
        known: dict[Subject, tuple[int, bytes]] = {}
        rows = []
        for one in kept:
            if one.subject not in known:
                known[one.subject] = self._key_of(sql, self.place(organisation, one.subject))
            subject_id, key = known[one.subject]
            digest = digest_of(one.disclosure)
            sealed = seal(key, one.disclosure.encode("ascii"), _about(organisation, digest))
            rows.append((organisation, seq, digest, _field_of(one.disclosure), subject_id, sealed))
        if rows:
            sql.executemany(_INSERT, rows)
        return [digest for _, _, digest, *_ in rows]

    def keys_at(self, connection: Connection, places: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """Give the number and the data key of each subject by its place, in a change; whoever has none gets one."""
        sql = driver(connection)
        found = {place: (id_, self.keys.unwrap(wrapped, place)) for id_, place, wrapped in _subjects(sql, places)}
        missing = {place: new_data_key() for place in places if place not in found}
        rows = [(place, self.keys.wrap(key, place)) for place, key in missing.items()]
        if rows:
            sql.executemany("INSERT INTO subjects (place, wrapped_key) VALUES (?, ?)", rows)
            found |= {place: (id_, missing[place]) for id_, place, _ in _subjects(sql, list(missing))}
        return found

    def open(
        self, connection: Connection, organisation: str, seqs: Sequence[int], fields: frozenset[str] | None = None
    ) -> dict[int, tuple[str, ...]]:
        """Give the disclosures that are left of entries of a log, by entry: of some fields, or of all (None).

        Raises:
            VaultKeyUnusable: if they were encrypted with a key that is not at hand.
        """
        found: dict[int, list[str]] = {}
        for some in _chunks(sorted(set(seqs))):
            sql = f"{_READ} AND vault.seq IN ({', '.join('?' * len(some))}) ORDER BY vault.id"
            rows = driver(connection).execute(sql, (organisation, *some))
            for seq, disclosure in self._opened(organisation, rows, fields):
                found.setdefault(seq, []).append(disclosure)
        return {seq: tuple(disclosures) for seq, disclosures in found.items()}

    def values(self, connection: Connection, organisation: str, seqs: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """Give what the disclosures of entries say, by entry and field."""
        return {
            seq: dict(open_disclosure((digest_of(text),), text) for text in texts)
            for seq, texts in self.open(connection, organisation, seqs).items()
        }

    def names_of(self, connection: Connection, organisation: str, digests: Sequence[str]) -> dict[str, str]:
        """Give the values that digests of rows of the access log stand for, as far as they are left."""
        found = {}
        for some in _chunks(sorted(set(digests))):
            sql = f"{_READ} AND vault.seq IS NULL AND vault.digest IN ({', '.join('?' * len(some))})"
            for _, text in self._opened(organisation, driver(connection).execute(sql, (organisation, *some)), None):
                digest = digest_of(text)
                found[digest] = str(open_disclosure((digest,), text)[1])
        return found

    def move_plaintext(self, connection: Connection, limit: int) -> int:
        """Encrypt disclosures that earlier versions kept in the open; returns how many, 0 when there are none left."""
        sql = driver(connection)
        rows = sql.execute(
            "SELECT disclosures.id, disclosure, receipts.organisation, receipts.seq, employee, session FROM disclosures"
            " JOIN receipts ON receipts.id = receipt_id JOIN scopes ON scopes.id = scope_id ORDER BY disclosures.id LIMIT ?",
            (limit,),
        ).fetchall()
        for id_, disclosure, organisation, seq, employee, session in rows:
            kept = Kept(disclosure, subject_of_session(employee or None, session or None))
            self.keep(connection, organisation, seq, [kept])
            sql.execute("DELETE FROM disclosures WHERE id = ?", (id_,))
        return len(rows)

    def wrap_again(self, connection: Connection, after: int, limit: int) -> tuple[int, int]:
        """Encrypt the next data keys with the newest wrapping key; gives the last one's number (0: none left) and how many."""
        sql = driver(connection)
        rows = sql.execute(
            "SELECT id, place, wrapped_key FROM subjects WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        ).fetchall()
        old = [(id_, place, wrapped) for id_, place, wrapped in rows if not self.keys.is_newest(wrapped)]
        for id_, place, wrapped in old:
            again = self.keys.wrap(self.keys.unwrap(wrapped, place), place)
            sql.execute("UPDATE subjects SET wrapped_key = ? WHERE id = ?", (again, id_))
        return (int(rows[-1][0]) if rows else 0), len(old)

    def _key_of(self, sql: Driver, place: bytes) -> tuple[int, bytes]:
        row = sql.execute("SELECT id, wrapped_key FROM subjects WHERE place = ?", (place,)).fetchone()
        if row is not None:
            return int(row[0]), self.keys.unwrap(row[1], place)
        key = new_data_key()
        [(id_,)] = sql.execute(
            "INSERT INTO subjects (place, wrapped_key) VALUES (?, ?) RETURNING id", (place, self.keys.wrap(key, place))
        ).fetchall()
        return int(id_), key

    def _opened(
        self, organisation: str, rows: Iterable[Sequence[Any]], fields: frozenset[str] | None
    ) -> Iterator[tuple[int, str]]:
        keys: dict[int, bytes] = {}
        for seq, digest, name, sealed, subject_id, place, wrapped in rows:
            if fields is not None and name not in fields:
                continue
            if subject_id not in keys:
                keys[subject_id] = self.keys.unwrap(wrapped, place)
            yield seq, unseal(keys[subject_id], sealed, _about(organisation, digest)).decode("ascii")


def forget_unused_keys(sql: Driver, subject_ids: Iterable[int]) -> None:
    """Delete the keys of subjects of whom nothing is left: no disclosure, and no name in the directory."""
    sql.executemany(
        "DELETE FROM subjects WHERE id = ? AND NOT EXISTS (SELECT 1 FROM vault WHERE subject_id = subjects.id)"
        " AND NOT EXISTS (SELECT 1 FROM people WHERE subject_id = subjects.id)",
        [(id_,) for id_ in subject_ids],
    )


def _subjects(sql: Driver, places: Sequence[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    for some in _chunks(places):
        query = f"SELECT id, place, wrapped_key FROM subjects WHERE place IN ({', '.join('?' * len(some))})"
        for id_, place, wrapped in sql.execute(query, some).fetchall():
            yield int(id_), bytes(place), bytes(wrapped)


def _field_of(disclosure: str) -> str:
    """Give the name of the field that one of our own disclosures opens."""
    padded = disclosure + "=" * (-len(disclosure) % 4)
    return str(json.loads(base64.urlsafe_b64decode(padded))[1])


def _about(organisation: str, digest: str) -> bytes:
    return f"{organisation}\0{digest}".encode()


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(items), _AT_ONCE):
        yield items[begin : begin + _AT_ONCE]
