"""The log of each organisation: entries, the nodes of its Merkle tree, and its checkpoints. Only ever added to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Protocol, TypeVar

from sqlalchemy import Connection, select

from p402.collector.notifications.events import Event, EventType
from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.driver import driver
from p402.collector.storage.log_keys import AvailableKeys, LogOfAnotherKey, replace_keys, retire_keys, signing_keys
from p402.collector.storage.outbox import publish
from p402.collector.storage.tables import checkpoints, log_entries
from p402.receipts import (
    NO_PREVIOUS,
    Checkpoint,
    Entry,
    EntryPlace,
    RotationReason,
    append_nodes,
    consistency_proof,
    inclusion_proof,
    key_rotation_entry,
    root,
    sign_checkpoint,
)
from p402.receipts.merkle import GetNode
from p402.vocabulary import Permanent

__all__ = [
    "LogDamaged",
    "LogOfAnotherKey",
    "LogWriter",
    "MakeEntry",
    "Signers",
    "append_entry",
    "checkpoint_at",
    "checkpoint_of_size",
    "checkpoints_page",
    "consistency_hashes",
    "entries_page",
    "entry_body",
    "latest_checkpoint",
    "log_size",
    "proof_hashes",
    "proofs_hashes",
]

E = TypeVar("E", bound=Entry)
T = TypeVar("T")
MakeEntry = Callable[[int, bytes], E]
"""Makes the entry for a place in the log: its sequence number, and the leaf hash of the entry before it."""

_HASH = 32  # bytes
_NODES_AT_ONCE = 5_000


class LogDamaged(Permanent):
    """The database lacks a part of a log; ``p402 log check`` says more."""


class Signers(Protocol):
    """Gives the keys of an organisation's log."""

    def signer(self, organisation: str) -> AvailableKeys:
        """Give the keys at hand; their origin names the log."""
        ...


class LogWriter:
    """Appends entries to one log inside a change, and then signs the one checkpoint that includes them all.

    Whoever opens it calls `sign` at the end of the change: an entry without a checkpoint would be vouched for by nobody.

    Raises:
        LogOfAnotherKey: if the log's key is not at hand, as when collectors do not share their keys.
    """

    def __init__(self, connection: Connection, organisation: str, keys: AvailableKeys, at: datetime) -> None:
        self._connection = connection
        self._sql = driver(connection)
        self._organisation = organisation
        self._keys = keys
        self._at = at
        found = self._sql.execute(
            "SELECT size, last_leaf, edge FROM logs WHERE organisation = ?", (organisation,)
        ).fetchone()
        self._size: int
        self._prev: bytes
        self._size, self._prev, edge = found or (0, NO_PREVIOUS, b"")
        self._signed_size = self._size
        self._nodes = {
            place: edge[_HASH * number : _HASH * (number + 1)] for number, place in enumerate(_edge(self._size))
        }
        self._signers = signing_keys(connection, organisation, self._size, keys, at)

    @property
    def has_newest_key(self) -> bool:
        """Whether no key was made after the log's current one."""
        return self._signers[-1].verifier_key == self._keys.newest.verifier_key

    def append(self, kind: str, make: MakeEntry[E]) -> E:
        """Append the next entry. Nothing is written if making it raises."""
        entry = make(self._size, self._prev)
        nodes = append_nodes(self._size, entry.leaf_hash, self._node)
        self._sql.execute(
            "INSERT INTO log_entries (organisation, seq, type, body) VALUES (?, ?, ?, ?)",
            (self._organisation, self._size, kind, entry.body),
        )
        self._sql.executemany(
            "INSERT INTO log_nodes (organisation, level, position, hash) VALUES (?, ?, ?, ?)",
            [(self._organisation, level, position, hashed) for level, position, hashed in nodes],
        )
        self._nodes |= {(level, position): hashed for level, position, hashed in nodes}
        self._size += 1
        self._prev = entry.leaf_hash
        return entry

    def rotate(self, reason: RotationReason, overlap_until: datetime) -> Entry:
        """Give the log the newest key at hand: append the entry about it, and sign with it from here on."""
        old, new = self._signers[-1], self._keys.newest

        def make(seq: int, prev: bytes) -> Entry:
            return key_rotation_entry(
                EntryPlace(organisation=self._organisation, seq=seq, prev=prev, issued_at=self._at),
                old_key=old.verifier_key,
                new_key=new.verifier_key,
                reason=reason,
                overlap_until=overlap_until,
            )

        entry = self.append("key-rotation", make)
        replace_keys(self._connection, self._organisation, new.verifier_key, self._size, overlap_until)
        self._signers = [*(self._signers if overlap_until > self._at else []), new]
        return entry

    def sign(self) -> None:
        """Sign and publish the checkpoint of everything that was appended; nothing if that is nothing."""
        if self._size == self._signed_size:
            return
        checkpoint = Checkpoint(self._keys.origin, self._size, root(self._size, self._node))
        note = sign_checkpoint(checkpoint, self._signers)
        at = to_millis(self._at)
        self._sql.execute(
            "INSERT INTO checkpoints (organisation, size, note, signed_at) VALUES (?, ?, ?, ?)",
            (self._organisation, self._size, note, at),
        )
        edge = b"".join(self._nodes[place] for place in _edge(self._size))
        self._sql.execute(
            "INSERT INTO logs (organisation, size, last_leaf, edge, appended_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (organisation) DO UPDATE SET size = excluded.size, last_leaf = excluded.last_leaf, "
            "edge = excluded.edge, appended_at = excluded.appended_at",
            (self._organisation, self._size, self._prev, edge, at),
        )
        retire_keys(self._connection, self._organisation, self._signed_size, self._at)
        publish(self._connection, _published(self._organisation, checkpoint, note, self._at))
        self._signed_size = self._size

    def _node(self, level: int, position: int) -> bytes:
        return self._nodes[level, position]


def append_entry(
    connection: Connection, organisation: str, kind: str, make: MakeEntry[E], keys: AvailableKeys, at: datetime
) -> E:
    """Append one entry and sign the checkpoint that includes it. Runs inside a change, so that all of it is kept or none.

    Raises:
        LogOfAnotherKey: if the log's key is not at hand, as when collectors do not share their keys.
    """
    log = LogWriter(connection, organisation, keys, at)
    entry = log.append(kind, make)
    log.sign()
    return entry


def log_size(connection: Connection, organisation: str) -> int:
    """Count the entries of a log."""
    found = driver(connection).execute("SELECT size FROM logs WHERE organisation = ?", (organisation,)).fetchone()
    return found[0] if found else 0


def latest_checkpoint(connection: Connection, organisation: str) -> str | None:
    """Give the newest signed checkpoint of a log; None for a log without entries."""
    query = select(checkpoints.c.note).where(checkpoints.c.organisation == organisation)
    return connection.execute(query.order_by(checkpoints.c.size.desc()).limit(1)).scalar()


def checkpoint_of_size(connection: Connection, organisation: str, size: int) -> str:
    """Give the signed checkpoint of a log at a size that one was signed at."""
    query = select(checkpoints.c.note).where(checkpoints.c.organisation == organisation, checkpoints.c.size == size)
    note: str = connection.execute(query).scalar_one()
    return note


def checkpoint_at(connection: Connection, organisation: str, size: int) -> str | None:
    """Give the signed checkpoint of a log at any size; None if none was signed there."""
    query = select(checkpoints.c.note).where(checkpoints.c.organisation == organisation, checkpoints.c.size == size)
    return connection.execute(query).scalar()


def checkpoints_page(connection: Connection, organisation: str, after: int, limit: int) -> list[tuple[int, str]]:
    """Give the next signed checkpoints of a log, each with its size, in the order of signing."""
    query = select(checkpoints.c.size, checkpoints.c.note).where(checkpoints.c.organisation == organisation)
    found = connection.execute(query.where(checkpoints.c.size > after).order_by(checkpoints.c.size).limit(limit))
    return [(size, note) for size, note in found]


def entry_body(connection: Connection, organisation: str, seq: int) -> bytes:
    """Give the canonical bytes of an entry."""
    query = select(log_entries.c.body).where(log_entries.c.organisation == organisation, log_entries.c.seq == seq)
    body: bytes = connection.execute(query).scalar_one()
    return body


def entries_page(connection: Connection, organisation: str, after: int, limit: int) -> list[tuple[int, bytes]]:
    """Give the next entries of a log, each with its place, in order."""
    query = select(log_entries.c.seq, log_entries.c.body).where(log_entries.c.organisation == organisation)
    found = connection.execute(query.where(log_entries.c.seq > after).order_by(log_entries.c.seq).limit(limit))
    return [(seq, body) for seq, body in found]


def proof_hashes(connection: Connection, organisation: str, seq: int, size: int) -> list[bytes]:
    """Prove that an entry is in the log of a size."""
    return proofs_hashes(connection, organisation, [seq], size)[0]


def proofs_hashes(connection: Connection, organisation: str, seqs: Sequence[int], size: int) -> list[list[bytes]]:
    """Prove that entries are in the log of a size; reads what the proofs share once.

    Raises:
        LogDamaged: if a node is missing.
    """
    return _with_nodes(
        connection, organisation, lambda get_node: [inclusion_proof(seq, size, get_node) for seq in seqs]
    )


def consistency_hashes(connection: Connection, organisation: str, old: int, new: int) -> list[bytes]:
    """Prove that the log of a size begins with the log of an earlier one.

    Raises:
        LogDamaged: if a node is missing.
    """
    return _with_nodes(connection, organisation, lambda get_node: consistency_proof(old, new, get_node))


def _with_nodes(connection: Connection, organisation: str, prove: Callable[[GetNode], T]) -> T:
    """Run a proof once to learn which nodes it needs, and again with them."""
    wanted: dict[tuple[int, int], None] = {}

    def note(level: int, position: int) -> bytes:
        wanted[level, position] = None
        return NO_PREVIOUS

    prove(note)
    places = sorted(wanted)
    found: dict[tuple[int, int], bytes] = {}
    for begin in range(0, len(places), _NODES_AT_ONCE):
        found |= _read_nodes(connection, organisation, places[begin : begin + _NODES_AT_ONCE])
    if len(found) != len(places):
        raise LogDamaged(f"The database lacks nodes of the log of {organisation}: run `p402 log check`.")
    return prove(lambda level, position: found[level, position])


def _read_nodes(
    connection: Connection, organisation: str, places: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """Read nodes in one query, level by level, as the table is ordered: SQLite looks up pairs without its index."""
    parts, values = [], list[str | int]()
    for level, group in groupby(places, key=lambda place: place[0]):
        positions = [position for _, position in group]
        marks = ", ".join("?" * len(positions))
        parts.append(
            f"SELECT level, position, hash FROM log_nodes WHERE organisation = ? AND level = ? AND position IN ({marks})"
        )
        values += [organisation, level, *positions]
    rows = driver(connection).execute(" UNION ALL ".join(parts), values) if parts else ()
    return {(level, position): bytes(hashed) for level, position, hashed in rows}


def _edge(size: int) -> list[tuple[int, int]]:
    """Give the places (level, position) of the complete subtrees that a tree of a size consists of, the largest first."""
    return [(level, (size >> level) - 1) for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]


def _published(organisation: str, checkpoint: Checkpoint, note: str, at: datetime) -> Event:
    return Event(
        EventType.CHECKPOINT_PUBLISHED,
        organisation,
        {
            "summary": f"The log {checkpoint.origin} has {checkpoint.size} entries.",
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "checkpoint": note,
        },
        at,
        dedupe_key=str(checkpoint.size),
    )
