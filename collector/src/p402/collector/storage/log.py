"""The log of each organisation: entries, the nodes of its Merkle tree, and its checkpoints. Only ever added to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeVar

from sqlalchemy import Connection, func, insert, select

from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.tables import checkpoints, log_entries, log_nodes
from p402.receipts import (
    NO_PREVIOUS,
    Checkpoint,
    Entry,
    Signer,
    append_nodes,
    inclusion_proof,
    open_checkpoint,
    root,
    sign_checkpoint,
)
from p402.receipts.errors import CheckpointUntrusted
from p402.receipts.merkle import GetNode
from p402.vocabulary import Permanent

__all__ = [
    "LogOfAnotherKey",
    "MakeEntry",
    "Signers",
    "append_entry",
    "checkpoint_of_size",
    "entry_body",
    "latest_checkpoint",
    "log_size",
    "proof_hashes",
]

E = TypeVar("E", bound=Entry)
MakeEntry = Callable[[int, bytes], E]
"""Makes the entry for a place in the log: its sequence number, and the leaf hash of the entry before it."""


class LogOfAnotherKey(Permanent):
    """The key at hand did not sign the log so far; a log with two keys would convince nobody."""


class Signers(Protocol):
    """Gives the signer of an organisation's log."""

    def signer(self, organisation: str) -> Signer:
        """Give the signer; its origin names the log."""
        ...


def append_entry(
    connection: Connection, organisation: str, kind: str, make: MakeEntry[E], signer: Signer, at: datetime
) -> E:
    """Append one entry and sign the checkpoint that includes it. Runs inside a change, so that all of it is kept or none.

    Raises:
        LogOfAnotherKey: if the checkpoint before is not ours, as when collectors do not share their key.
    """
    size = log_size(connection, organisation)
    if size:
        _check_signer(signer, checkpoint_of_size(connection, organisation, size), organisation)
    get_node = _node_reader(connection, organisation)
    entry = make(size, get_node(0, size - 1) if size else NO_PREVIOUS)
    nodes = append_nodes(size, entry.leaf_hash, get_node)
    connection.execute(insert(log_entries).values(organisation=organisation, seq=size, type=kind, body=entry.body))
    connection.execute(
        insert(log_nodes),
        [
            {"organisation": organisation, "level": level, "position": position, "hash": hashed}
            for level, position, hashed in nodes
        ],
    )
    checkpoint = Checkpoint(signer.origin, size + 1, root(size + 1, get_node))
    connection.execute(
        insert(checkpoints).values(
            organisation=organisation,
            size=size + 1,
            note=sign_checkpoint(checkpoint, [signer]),
            signed_at=to_millis(at),
        )
    )
    return entry


def _check_signer(signer: Signer, note: str, organisation: str) -> None:
    try:
        open_checkpoint(note, [signer.verifier_key])
    except CheckpointUntrusted as error:
        raise LogOfAnotherKey(
            f"The log of {organisation} was signed by another key, or under another name, than this collector's. Give every "
            "collector of this database the same P402_SIGNING_KEY_FILE and P402_RECEIPT_ORIGIN, those that the log began with."
        ) from error


def log_size(connection: Connection, organisation: str) -> int:
    """Count the entries of a log."""
    query = select(func.count()).where(log_entries.c.organisation == organisation)
    return connection.execute(query).scalar_one()


def latest_checkpoint(connection: Connection, organisation: str) -> str | None:
    """Give the newest signed checkpoint of a log; None for a log without entries."""
    query = select(checkpoints.c.note).where(checkpoints.c.organisation == organisation)
    return connection.execute(query.order_by(checkpoints.c.size.desc()).limit(1)).scalar()


def checkpoint_of_size(connection: Connection, organisation: str, size: int) -> str:
    """Give the signed checkpoint of a log at a size."""
    query = select(checkpoints.c.note).where(checkpoints.c.organisation == organisation, checkpoints.c.size == size)
    note: str = connection.execute(query).scalar_one()
    return note


def entry_body(connection: Connection, organisation: str, seq: int) -> bytes:
    """Give the canonical bytes of an entry."""
    query = select(log_entries.c.body).where(log_entries.c.organisation == organisation, log_entries.c.seq == seq)
    body: bytes = connection.execute(query).scalar_one()
    return body


def proof_hashes(connection: Connection, organisation: str, seq: int, size: int) -> list[bytes]:
    """Prove that an entry is in the log of a size."""
    return inclusion_proof(seq, size, _node_reader(connection, organisation))


def _node_reader(connection: Connection, organisation: str) -> GetNode:
    def get_node(level: int, position: int) -> bytes:
        query = select(log_nodes.c.hash).where(
            log_nodes.c.organisation == organisation, log_nodes.c.level == level, log_nodes.c.position == position
        )
        found: bytes = connection.execute(query).scalar_one()
        return found

    return get_node
