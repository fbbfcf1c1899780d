"""Recomputes a whole log from the bodies of its entries, and names what in the database differs from that.

::

    bodies ──▶ leaves ──▶ nodes ──▶ roots ──▶ signed checkpoints, settlements, checkpoints that somebody kept elsewhere

Whoever can write to the database and holds the key can make all of it agree; then only a checkpoint that was kept elsewhere,
or the chain, tells. Entries whose bodies retention has deleted count by their leaf hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from p402.collector.storage.driver import driver
from p402.receipts import (
    NO_PREVIOUS,
    Checkpoint,
    PinnedKey,
    SettlementStatement,
    describe,
    leaf_hash,
    open_checkpoint,
    parse_canonical,
)
from p402.receipts.merkle import append_nodes, root
from p402.vocabulary import Permanent

__all__ = ["Fault", "Finding", "LogReport", "check_log"]

_ENTRIES_AT_ONCE = 1_000


class Fault(StrEnum):
    """What can be wrong with a log."""

    CHANGED = "changed entry"
    MISSING = "missing entry"
    MISPLACED = "misplaced entry"
    CHAIN = "broken chain"
    NODE = "wrong node"
    CHECKPOINT = "wrong checkpoint"
    KEY = "wrong key"
    CUT = "cut tail"
    UNSIGNED = "unsigned tail"
    FORK = "fork"
    SETTLEMENT = "wrong settlement"
    RECEIPT = "wrong receipt"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and where."""

    fault: Fault
    sentence: str


@dataclass(frozen=True, slots=True)
class LogReport:
    """What checking a log found."""

    organisation: str
    size: int
    """How many entries there are."""
    pruned: int
    """How many of them retention has deleted but for their leaf hash."""
    checkpoints: int
    anchored: int
    """Size of the largest checkpoint that a final settlement of this database names."""
    findings: tuple[Finding, ...]


def check_log(
    connection: Connection, organisation: str, trusted: Sequence[PinnedKey], pinned: Sequence[Checkpoint] = ()
) -> LogReport:
    """Check everything that the database holds of one log.

    Args:
        connection: a snapshot to read.
        organisation: whose log.
        trusted: the keys that may have signed it.
        pinned: checkpoints that were kept elsewhere.
    """
    check = _Check(connection, organisation, trusted, pinned)
    check.run()
    log = check.log
    return LogReport(organisation, log.size, check.pruned, len(check.notes), check.anchored, tuple(check.findings))


@dataclass
class _Tree:
    """The tree that is recomputed, leaf by leaf; only its edge is kept."""

    size: int = 0
    last_leaf: bytes = NO_PREVIOUS
    edge: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Take a leaf in; gives the nodes that become known."""
        new = append_nodes(self.size, leaf, lambda level, position: self.edge[level, position])
        for level, position, _ in new[1:]:
            del self.edge[level - 1, position * 2]
        level, position, hashed = new[-1]
        self.edge[level, position] = hashed
        self.size, self.last_leaf = self.size + 1, leaf
        return new

    def root(self) -> bytes:
        return root(self.size, lambda level, position: self.edge[level, position])

    def row(self) -> tuple[int, bytes, bytes]:
        """Give what the table ``logs`` must say."""
        return self.size, self.last_leaf, b"".join(self.edge[place] for place in sorted(self.edge, reverse=True))


class _Check:
    """One run over one log."""

    def __init__(
        self, connection: Connection, organisation: str, trusted: Sequence[PinnedKey], pinned: Sequence[Checkpoint]
    ) -> None:
        self._sql = driver(connection)
        self._organisation = organisation
        self._trusted = trusted
        self._pinned = pinned
        self.log = _Tree()
        self.findings: list[Finding] = []
        self.pruned = 0
        self.anchored = 0
        query = "SELECT size, note FROM checkpoints WHERE organisation = ? ORDER BY size"
        self.notes: dict[int, str] = dict(self._sql.execute(query, (organisation,)).fetchall())
        self._memos: dict[str, str] = {}
        """Of the final settlements."""
        self._settlements = self._read_settlements()
        self._settled: dict[str, str] = {}
        """Memo by settlement, as entries of the log say."""
        self._new_key: str | None = None
        """Of the last rotation."""
        self._signed_apart = False
        self._key_sizes: dict[str, int] = {}

    def run(self) -> None:
        while page := self._next_page():
            self._check_page(page)
        self._check_ends()
        self._check_keys()
        self._check_settlements()
        self._check_nodes_are_no_more()

    def _find(self, fault: Fault, sentence: str) -> None:
        self.findings.append(Finding(fault, sentence))

    # --- entries, leaves, nodes

    def _next_page(self) -> list[tuple[int, str, bytes]]:
        query = "SELECT seq, type, body FROM log_entries WHERE organisation = ? AND seq >= ? ORDER BY seq LIMIT ?"
        rows = self._sql.execute(query, (self._organisation, self.log.size, _ENTRIES_AT_ONCE)).fetchall()
        return [(seq, kind, bytes(body)) for seq, kind, body in rows]

    def _check_page(self, page: Sequence[tuple[int, str, bytes]]) -> None:
        begin, end = self.log.size, page[-1][0]
        stored = self._stored_nodes(begin, end)
        query = "SELECT seq, id FROM receipts WHERE organisation = ? AND seq BETWEEN ? AND ?"
        receipts: dict[int, str] = dict(self._sql.execute(query, (self._organisation, begin, end)).fetchall())
        by_seq = {seq: (kind, body) for seq, kind, body in page}
        for seq in range(begin, end + 1):
            leaf = self._check_entry(seq, by_seq.get(seq), stored.get((0, seq)), receipts.pop(seq, None))
            for level, position, hashed in self.log.append(leaf):
                if stored.get((level, position)) != hashed and (level > 0 or (0, seq) not in stored):
                    self._find(
                        Fault.NODE, f"The node of level {level} at {position} is missing or not what its leaves give."
                    )
            self._check_checkpoint()
        for seq, receipt_id in receipts.items():
            self._find(Fault.RECEIPT, f"The receipt {receipt_id} is said to be entry {seq}, which there is not.")

    def _stored_nodes(self, begin: int, end: int) -> dict[tuple[int, int], bytes]:
        """Give the stored nodes that the entries from one to another complete."""
        found: dict[tuple[int, int], bytes] = {}
        query = "SELECT position, hash FROM log_nodes WHERE organisation = ? AND level = ? AND position BETWEEN ? AND ?"
        for level in range((end + 1).bit_length()):
            span = (begin >> level, ((end + 1) >> level) - 1)
            for position, hashed in self._sql.execute(query, (self._organisation, level, *span)):
                found[level, position] = bytes(hashed)
        return found

    def _check_entry(
        self, seq: int, row: tuple[str, bytes] | None, stored: bytes | None, receipt_id: str | None
    ) -> bytes:
        """Check one entry; gives the leaf with which the tree goes on."""
        if row is None:
            self._find(Fault.MISSING, f"Entry {seq} is missing.")
            return stored or NO_PREVIOUS
        kind, body = row
        if not body and stored is not None:
            self.pruned += 1
            return stored
        leaf = leaf_hash(body)
        before = len(self.findings)
        said = self._read(seq, body)
        if said is not None:
            self._check_place(seq, kind, said)
            if len(self.findings) == before and stored != leaf:
                self._find(Fault.CHANGED, f"Entry {seq} is not what the tree took in.")
            if said["prev"] != self.log.last_leaf.hex():
                self._find(Fault.CHAIN, f"Entry {seq} names another entry before it than entry {seq - 1}.")
            self._note(seq, said, receipt_id)
        return stored or leaf

    def _read(self, seq: int, body: bytes) -> dict[str, Any] | None:
        try:
            said: dict[str, Any] = parse_canonical(body)
            describe(said)
        except Permanent as error:
            self._find(Fault.CHANGED, f"Entry {seq} is no entry. {error}")
            return None
        return said

    def _check_place(self, seq: int, kind: str, said: dict[str, Any]) -> None:
        if said["seq"] != seq or said["organisation"] != self._organisation:
            whose = "" if said["organisation"] == self._organisation else f" of the log of {said['organisation']!a}"
            self._find(Fault.MISPLACED, f"Where entry {seq} should be there is entry {said['seq']}{whose}.")
        elif said["type"] != kind:
            self._find(Fault.CHANGED, f"Entry {seq} is a {said['type']!a}, the table says {kind!a}.")

    def _note(self, seq: int, said: dict[str, Any], receipt_id: str | None) -> None:
        """Take in what an entry says about others."""
        match said["type"]:
            case "settlement":
                self._settled[said["settlement_id"]] = said["statement_sha256"]
            case "key-rotation":
                self._new_key = said["new_key"]
                self._key_sizes[said["new_key"]] = seq + 1
        has_receipt = said["type"] in ("session-receipt", "correction")
        if (said["receipt_id"] if has_receipt else None) != receipt_id:
            self._find(Fault.RECEIPT, f"The table of receipts says of entry {seq} that it is {receipt_id!a}.")

    def _check_nodes_are_no_more(self) -> None:
        query = "SELECT count(*) FROM log_nodes WHERE organisation = ?"
        [count] = self._sql.execute(query, (self._organisation,)).fetchone()
        size = self.log.size
        if count > 2 * size - size.bit_count():
            self._find(
                Fault.NODE, f"There are nodes beyond the tree of {size} entries: the tail was cut, or they were added."
            )

    # --- checkpoints

    def _check_checkpoint(self) -> None:
        size = self.log.size
        kept = [pinned for pinned in self._pinned if pinned.size == size]
        named = [checkpoint for checkpoint in self._settlements.values() if checkpoint.size == size]
        note = self.notes.get(size)
        if not (kept or named or note):
            return
        found = self.log.root()
        if note is not None and not self._signed_apart:
            self._check_note(note, found)
        for checkpoint in kept:
            if checkpoint.root != found:
                self._find(
                    Fault.FORK, f"The first {size} entries are not those of the checkpoint that was kept elsewhere: the log was "
                    "rewritten or forked.",
                )  # fmt: skip
        for checkpoint in named:
            self.anchored = max(self.anchored, size)
            if checkpoint.root != found:
                self._find(
                    Fault.FORK,
                    f"The first {size} entries are not those that a settlement anchored: the log was rewritten.",
                )

    def _check_note(self, note: str, found: bytes) -> None:
        size = self.log.size
        try:
            checkpoint = open_checkpoint(note, self._trusted)
            if self._new_key is not None:
                open_checkpoint(note, [self._new_key])
        except Permanent as error:
            self._signed_apart = True  # and so are all that follow
            self._find(Fault.KEY, f"From {size} entries on checkpoints are not signed by the log's key. {error}")
            return
        if checkpoint.size != size or checkpoint.root != found:
            self._signed_apart = True
            self._find(Fault.CHECKPOINT, f"From {size} entries on the tree is not the one that was signed.")

    def _check_ends(self) -> None:
        log = self.log
        largest = max(self.notes, default=0)
        query = "SELECT size, last_leaf, edge FROM logs WHERE organisation = ?"
        row = self._sql.execute(query, (self._organisation,)).fetchone()
        noted = (row[0], bytes(row[1]), bytes(row[2])) if row else (0, NO_PREVIOUS, b"")
        for size, what in [
            (largest, "a signed checkpoint"),
            (noted[0], "the table of logs"),
            *((it.size, f"the settlement {settlement}") for settlement, it in self._settlements.items()),
            *((it.size, "the checkpoint that was kept elsewhere") for it in self._pinned),
        ]:
            if size > log.size:
                self._find(Fault.CUT, f"There are {log.size} entries; {what} speaks of {size}: the tail was cut.")
        if largest < log.size:
            self._find(
                Fault.UNSIGNED, f"Entries {largest} to {log.size - 1} are under no signed checkpoint: they were added."
            )
        if noted[0] <= log.size and noted != log.row():
            self._find(Fault.NODE, "The table of logs does not say where this log ends.")

    def _check_keys(self) -> None:
        query = "SELECT vkey, since_size FROM log_keys WHERE organisation = ? ORDER BY since_size"
        noted = dict(self._sql.execute(query, (self._organisation,)).fetchall())
        trusted = {key.vkey for key in self._trusted}
        for vkey, since in noted.items():
            if vkey not in trusted:
                self._find(Fault.KEY, f"The table of keys names {vkey}, which is not one of those that are trusted.")
            elif since > 1 and self._key_sizes.get(vkey) != since and self.pruned == 0:
                self._find(
                    Fault.KEY, f"The table of keys says {vkey} signs from {since} entries on; no rotation says so."
                )
        for vkey in self._key_sizes.keys() - noted.keys():
            self._find(Fault.KEY, f"A rotation in the log names the key {vkey}, the table of keys does not.")

    # --- settlements

    def _read_settlements(self) -> dict[str, Checkpoint]:
        """Give the checkpoints that final settlements name, of those that say what was put onto the chain."""
        query = "SELECT id, statement, memo FROM settlements WHERE organisation = ? AND state = ? ORDER BY id"
        found: dict[str, Checkpoint] = {}
        for settlement_id, statement, memo in self._sql.execute(query, (self._organisation, "final")):
            self._memos[settlement_id] = bytes(memo).hex()
            if hashlib.sha256(bytes(statement)).digest() != bytes(memo):
                self._find(Fault.SETTLEMENT, f"The statement of {settlement_id} is not the one that the chain has.")
                continue
            try:
                found[settlement_id] = Checkpoint.parse(SettlementStatement.parse(bytes(statement)).checkpoint)
            except Permanent as error:
                self._find(Fault.SETTLEMENT, f"The statement of {settlement_id} cannot be read. {error}")
        return found

    def _check_settlements(self) -> None:
        for settlement_id in sorted(self._memos.keys() | self._settled.keys()):
            if self._memos.get(settlement_id) != self._settled.get(settlement_id):
                self._find(
                    Fault.SETTLEMENT,
                    f"The log and the table of settlements disagree about {settlement_id}: one of them lacks it, or has another.",
                )
