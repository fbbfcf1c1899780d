"""A log that somebody has access to: the database of a stopped collector, and what can be done to it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from p402.collector.storage.charge_rows import to_millis
from p402.collector.storage.log import append_entry, consistency_hashes, latest_checkpoint, proofs_hashes
from p402.collector.storage.sqlite import SqliteBackend
from p402.receipts import (
    NO_PREVIOUS,
    BundledAnchor,
    BundledConsistency,
    BundledReceipt,
    Checkpoint,
    EntryPlace,
    SettlementMode,
    SettlementStatement,
    Signer,
    append_nodes,
    canonical,
    format_proof,
    leaf_hash,
    make_bundle,
    parse_checkpoint,
    root,
    settlement_entry,
    sign_checkpoint,
)
from p402.vocabulary import Money
from support.sample_log import CHAIN_ID, NINE, PAYER, SAMPLE_ANCHOR, TOKEN

ORGANISATION = "acme"


def statement_of(checkpoint: Checkpoint) -> SettlementStatement:
    """What an anchor of a checkpoint states."""
    return SettlementStatement(
        mode=SettlementMode.ANCHOR,
        settlement_id="stl_1",
        organisation=ORGANISATION,
        checkpoint=str(checkpoint),
        chain_id=CHAIN_ID,
        token=TOKEN,
        payer=PAYER,
        payee=PAYER,
        amount_micro_usd=0,
        period_from=NINE,
        period_to=NINE,
        accrued=Money(0),
        carry_in=Money(0),
        carry_out=Money(0),
        prev_settlement=None,
    )


@dataclass(frozen=True)
class Held:
    """The database of a stopped collector, in the hands of somebody who may have its key."""

    file: Path
    key: Signer
    """Of the log."""

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """Change the file as another program would."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            yield connection

    @contextmanager
    def storage(self) -> Iterator[Any]:
        """Read and write it as the collector does."""
        backend = SqliteBackend(self.file)
        with backend.engine.connect() as connection:
            backend.begin_change(connection)
            yield connection
            backend.commit(connection, ())
        backend.engine.dispose()

    def bodies(self) -> list[bytes]:
        with self.sql() as sql:
            rows = sql.execute("SELECT body FROM log_entries WHERE organisation = ? ORDER BY seq", (ORGANISATION,))
            return [body for (body,) in rows]

    def checkpoint(self) -> str:
        """The newest signed checkpoint."""
        with self.storage() as connection:
            note = latest_checkpoint(connection, ORGANISATION)
        assert note is not None
        return note

    def anchor(self, keys: Any) -> None:
        """Settle the log as it is: a final settlement, and its entry."""
        statement, now = statement_of(parse_checkpoint(self.checkpoint())), datetime.now(UTC)
        with self.storage() as connection:
            connection.exec_driver_sql(
                "INSERT INTO settlements (id, organisation, state, checkpoint_size, statement, memo, planned_at) "
                "VALUES (?, ?, 'final', ?, ?, ?, ?)",
                (
                    statement.settlement_id,
                    ORGANISATION,
                    Checkpoint.parse(statement.checkpoint).size,
                    statement.canonical(),
                    statement.memo(),
                    to_millis(NINE),
                ),
            )
            append_entry(
                connection,
                ORGANISATION,
                "settlement",
                lambda seq, prev: settlement_entry(
                    EntryPlace(organisation=ORGANISATION, seq=seq, prev=prev, issued_at=now),
                    settlement_id=statement.settlement_id,
                    memo=statement.memo(),
                    anchor=SAMPLE_ANCHOR,
                ),
                keys,
                now,
            )

    def rewrite(self, bodies: Sequence[bytes], *, signer: Signer | None) -> None:
        """Put other entries in the place of all, with a tree and a table of logs that agree; sign them with a key.

        Without a key the old checkpoints stay, as far as there are so many entries.
        """
        nodes: dict[tuple[int, int], bytes] = {}
        notes = []
        for seq, body in enumerate(bodies):
            for level, position, hashed in append_nodes(seq, leaf_hash(body), lambda *place: nodes[place]):
                nodes[level, position] = hashed
            if signer is not None:
                at_size = Checkpoint(signer.origin, seq + 1, root(seq + 1, lambda *place: nodes[place]))
                notes.append((ORGANISATION, seq + 1, sign_checkpoint(at_size, [signer]), 0))
        size = len(bodies)
        levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
        edge = b"".join(nodes[level, (size >> level) - 1] for level in levels)
        said = [json.loads(body) for body in bodies]
        receipts = [(it["receipt_id"], it["seq"]) for it in said if "receipt_id" in it and it["type"] != "review"]
        with self.sql() as sql:
            sql.execute("DELETE FROM log_entries WHERE organisation = ?", (ORGANISATION,))
            sql.execute("DELETE FROM log_nodes WHERE organisation = ?", (ORGANISATION,))
            sql.executemany(
                "INSERT INTO log_entries VALUES (?, ?, ?, ?)",
                [(ORGANISATION, seq, said[seq]["type"], body) for seq, body in enumerate(bodies)],
            )
            sql.executemany(
                "INSERT INTO log_nodes VALUES (?, ?, ?, ?)", [(ORGANISATION, *k, v) for k, v in nodes.items()]
            )
            sql.execute(
                "UPDATE logs SET size = ?, last_leaf = ?, edge = ? WHERE organisation = ?",
                (size, leaf_hash(bodies[-1]), edge, ORGANISATION),
            )
            sql.execute(
                "DELETE FROM checkpoints WHERE organisation = ? AND (size > ? OR ?)",
                (ORGANISATION, size, signer is not None),
            )
            sql.executemany("INSERT INTO checkpoints VALUES (?, ?, ?, ?)", notes)
            kept = {receipt_id for receipt_id, _ in receipts}
            for (known,) in sql.execute("SELECT id FROM receipts WHERE organisation = ?", (ORGANISATION,)).fetchall():
                if known not in kept:
                    sql.execute("DELETE FROM receipts WHERE id = ?", (known,))
            sql.execute("UPDATE receipts SET seq = -1 - seq WHERE organisation = ?", (ORGANISATION,))
            sql.executemany("UPDATE receipts SET seq = ? WHERE id = ?", [(seq, known) for known, seq in receipts])

    def bundle(self, *, first: int = 0, pinned: int | None = None, anchored: int | None = None) -> dict[str, Any]:
        """A bundle of all entries from one on, as an honest export gives it.

        Args:
            first: seq of the first entry.
            pinned: size of a checkpoint that the auditor has.
            anchored: size of the checkpoint that the settlement names; earlier entries refer to it.
        """
        bodies = self.bodies()
        note = self.checkpoint()
        size = parse_checkpoint(note).size
        with self.storage() as connection:
            seqs = range(first, size)
            found = proofs_hashes(connection, ORGANISATION, seqs, size)
            ties = sorted({known for known in (pinned, anchored) if known is not None and known < size})
            proofs = [
                BundledConsistency.of(old, size, consistency_hashes(connection, ORGANISATION, old, size))
                for old in ties
            ]
            [statement] = connection.exec_driver_sql("SELECT statement FROM settlements").one() if anchored else [b""]
        receipts = [
            BundledReceipt(
                body=bodies[seq],
                proof=format_proof(seq, hashes, note),
                anchor=0 if anchored is not None and seq < anchored else None,
            )
            for seq, hashes in zip(seqs, found, strict=True)
        ]
        anchors = [BundledAnchor.of(SettlementStatement.parse(statement), SAMPLE_ANCHOR)] if anchored else []
        return make_bundle(receipts, anchors, consistency=proofs, whole=(first, size - 1))


def rechained(bodies: Sequence[bytes], change: Callable[[list[dict[str, Any]]], object]) -> list[bytes]:
    """Change entries, and number and chain them anew."""
    said = [json.loads(body) for body in bodies]
    change(said)
    previous, result = NO_PREVIOUS, []
    for seq, entry in enumerate(said):
        body = canonical({**entry, "seq": seq, "prev": previous.hex()})
        previous = leaf_hash(body)
        result.append(body)
    return result
