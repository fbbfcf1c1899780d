"""Checks a bundle, trusting nothing in it but what the caller pins.

::

    body ── leaf hash ── inclusion ── checkpoint ── statement ── memo ── anchor
      │                                 │    │                             │
    disclosures               a pinned key   consistency       a node of the chain
                                             │
                              other checkpoints, a pinned one
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from p402.receipts._bundle import Bundle, BundledAnchor, BundledReceipt, parse_bundle
from p402.receipts._canonical import member, parse_canonical
from p402.receipts._chain import ChainReader
from p402.receipts._commitment import open_disclosure
from p402.receipts._describe import describe, knows
from p402.receipts._entry import MAX_ENTRY_BYTES, NO_PREVIOUS
from p402.receipts._note import Checkpoint, PinnedKey, open_checkpoint
from p402.receipts._on_chain import check_on_chain
from p402.receipts._proof import LogProof, parse_proof
from p402.receipts._report import Check, Link, Report, Status
from p402.receipts._statement import SettlementStatement
from p402.receipts._states import States
from p402.receipts.errors import ChainUnavailable, CheckpointUntrusted, Malformed
from p402.receipts.merkle import leaf_hash, verify_inclusion
from p402.vocabulary import Permanent, Transient, is_valid_id

__all__ = ["Trust", "verify"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trust:
    """What the auditor brings along; a bundle brings none of it."""

    verifier_keys: tuple[str | PinnedKey, ...]
    """Keys of the log (vkeys), obtained from its operator by another way than the bundle."""
    rpc: ChainReader | None = None
    """A node of the chain on which anchors must stand; without it anchors stay unchecked."""
    payer: str | None = None
    """The address that must have paid, in lower case; without it the report says who did."""
    token: str | None = None
    """The token that must have been paid in, likewise."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """States of the log that the auditor kept from earlier: the log here must begin with them."""
    complete: bool = False
    """Whether the bundle must be a range of the log that nothing is left out of."""


def verify(bundle_bytes: bytes, trust: Trust) -> Report:
    """Check every link of every receipt and anchor in a bundle's file. Raises nothing, whatever the file holds."""
    try:
        bundle = parse_bundle(bundle_bytes)
    except Malformed as error:
        return Report((Check(Link.FORMAT, "bundle", Status.FAILED, str(error)),))
    return Report(tuple(_check_bundle(bundle, trust)))


def _check_bundle(bundle: Bundle, trust: Trust) -> Iterator[Check]:
    count = f"{len(bundle.receipts)} receipt(s) and {len(bundle.anchors)} anchor(s)"
    yield Check(Link.FORMAT, "bundle", Status.OK, f"The bundle holds {count}.")
    opener = _Opener(trust.verifier_keys)
    states = States(bundle.consistency)
    statements: list[SettlementStatement | None] = []
    for position, anchor in enumerate(bundle.anchors):
        found = _Findings(f"anchor {position}")
        statement = _check_anchor(anchor, trust, found)
        statements.append(statement)
        if statement is not None:
            named = Checkpoint.parse(statement.checkpoint)
            states.add(named, f"the checkpoint of {statement.settlement_id}", signed=False)
        yield from found.checks
    proofs = [_parse_proof(receipt.proof) for receipt in bundle.receipts]
    yield from _check_states(bundle, proofs, trust, opener, states)
    bodies: list[dict[str, Any] | None] = []
    for position, receipt in enumerate(bundle.receipts):
        found = _Findings(f"receipt {position}")
        bodies.append(_check_receipt(receipt, proofs[position], statements, opener, states, found))
        yield from found.checks
    yield from _check_rotations(bodies, opener)
    if bundle.whole is not None or trust.complete:
        yield _check_complete(bundle, bodies, trust, states)


class _Opener:
    """Opens signed checkpoints with the pinned keys, each once however many receipts share it."""

    def __init__(self, verifier_keys: Sequence[str | PinnedKey]) -> None:
        self.keys = verifier_keys
        self.opened: dict[str, Checkpoint | Permanent] = {}

    def open(self, note: str) -> Checkpoint:
        """Give the checkpoint; raise what `open_checkpoint` raises."""
        found = self.opened.get(note)
        if found is None:
            try:
                found = open_checkpoint(note, self.keys)
            except Permanent as error:
                found = error
            self.opened[note] = found
        if isinstance(found, Permanent):
            raise found
        return found


def _parse_proof(text: str) -> LogProof | Malformed:
    try:
        return parse_proof(text)
    except Malformed as error:
        return error


def _check_states(
    bundle: Bundle,
    proofs: Sequence[LogProof | Malformed],
    trust: Trust,
    opener: _Opener,
    states: States,
) -> Iterator[Check]:
    """Check that all states of the log that the bundle or the auditor speaks of are of one log."""
    for position, note in enumerate(bundle.checkpoints):
        found = _Findings(f"checkpoint {position}")
        found.run(Link.CHECKPOINT, _open_checkpoint, note, opener)
        yield from found.checks
    for note in dict.fromkeys((*(it.checkpoint for it in proofs if isinstance(it, LogProof)), *bundle.checkpoints)):
        with suppress(Permanent):  # it is told where it is used
            checkpoint = opener.open(note)
            states.add(checkpoint, f"the signed checkpoint of {checkpoint.size} entries", signed=True)
    for pinned in trust.checkpoints:
        states.add(pinned, f"pinned checkpoint of {pinned.size} entries", signed=False)
    states.tie()
    yield from states.checks()
    yield from map(states.check_pinned, trust.checkpoints)


def _check_rotations(bodies: Sequence[dict[str, Any] | None], opener: _Opener) -> Iterator[Check]:
    """Check that no checkpoint is vouched for by nothing but a key that a rotation in the bundle had replaced by then."""
    known = (body for body in bodies if body is not None and body["type"] == "key-rotation")
    rotations = sorted(known, key=lambda body: body["seq"])
    for note, checkpoint in opener.opened.items():
        if isinstance(checkpoint, Permanent):
            continue
        before = [rotation for rotation in rotations if rotation["seq"] < checkpoint.size]
        if before:
            found = _Findings(f"rotation at entry {before[-1]['seq']}")
            found.run(Link.CHECKPOINT, _check_successor, note, before, opener.keys)
            yield from found.checks


def _check_successor(
    note: str, rotations: Sequence[dict[str, Any]], keys: Sequence[str | PinnedKey]
) -> tuple[bool, str]:
    """Check that the key of the last rotation before a checkpoint signed it, or a pinned key that none of them replaced.

    The latter may have come by a rotation that is not in the bundle.
    """
    with suppress(CheckpointUntrusted):
        checkpoint = open_checkpoint(note, [rotations[-1]["new_key"]])
        return True, f"The new key signed the checkpoint of {checkpoint.size} entries, as it must."
    replaced = {rotation["old_key"] for rotation in rotations}
    others = [key for key in keys if (key if isinstance(key, str) else key.vkey) not in replaced]
    try:
        checkpoint = open_checkpoint(note, others)
    except CheckpointUntrusted as error:
        raise CheckpointUntrusted(
            "The log says itself that it has a new key, and a later checkpoint lacks its signature: a replaced key was used again."
        ) from error
    return (
        True,
        f"A pinned key that the rotations here did not replace signed the checkpoint of {checkpoint.size} entries.",
    )


def _check_complete(bundle: Bundle, bodies: Sequence[dict[str, Any] | None], trust: Trust, states: States) -> Check:
    if bundle.whole is None:
        sentence = "The bundle is a selection and does not say that nothing is missing: ask for a bundle of a range."
        return Check(Link.COMPLETE, "range", Status.NOT_CHECKED, sentence)
    first, last = bundle.whole
    known = max((pinned.size for pinned in trust.checkpoints), default=first)
    found = _Findings("range")
    data = [receipt.body for receipt in bundle.receipts]
    found.run(Link.COMPLETE, _check_range, first, last, data, bodies, states.signed_size)
    if trust.complete and first > known and found.checks[0].status is Status.OK:
        sentence = (
            f"Entries {first} to {last} are all here, but you pinned {known}, and the entries between are not: ask for a "
            f"bundle from entry {known} on."
        )
        return Check(Link.COMPLETE, "range", Status.NOT_CHECKED, sentence)
    return found.checks[0]


def _check_range(
    first: int, last: int, data: Sequence[bytes], bodies: Sequence[dict[str, Any] | None], signed: int
) -> tuple[bool, str]:
    if len(bodies) != last - first + 1:
        raise Malformed(
            f"Entries {first} to {last} are {last - first + 1}; the bundle has {len(bodies)}: some are missing."
        )
    previous = NO_PREVIOUS.hex() if first == 0 else None
    for seq, (item, body) in enumerate(zip(data, bodies, strict=True), start=first):
        if body is None or body["seq"] != seq:
            raise Malformed(f"Where entry {seq} should be there is another one: the range has a gap, or was reordered.")
        if previous not in (None, body["prev"]):
            raise Malformed(f"Entry {seq} names another entry before it than the one that is here.")
        previous = leaf_hash(item).hex()
    named = f"Entries {first} to {last} are all here, and each names the one before it."
    return True, f"{named} The signed log has {signed} entries." if signed else named


class _Findings:
    """Runs the checks of one receipt or anchor and notes what they find."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        """Where it is in the bundle, until its id is known."""
        self._found: list[tuple[Link, Status, str]] = []

    @property
    def checks(self) -> list[Check]:
        return [Check(link, self.subject, status, sentence) for link, status, sentence in self._found]

    def add(self, link: Link, status: Status, sentence: str) -> None:
        self._found.append((link, status, sentence))

    def doubt(self) -> None:
        """Call what was found last not checked after all."""
        link, _, sentence = self._found.pop()
        self.add(link, Status.NOT_CHECKED, sentence)

    def run(self, link: Link, step: Callable[..., tuple[T, str]], *inputs: Any) -> T | None:
        """Run a step that gives a value and a sentence, or raises; None when the link does not hold.

        An input of None is the result of an earlier link that does not hold: then this one cannot be checked.
        """
        if None in inputs:
            self.add(link, Status.NOT_CHECKED, "It depends on a link that is broken or was not checked.")
            return None
        try:
            value, sentence = step(*inputs)
        except Transient as error:
            self.add(link, Status.NOT_CHECKED, str(error))
            return None
        except Permanent as error:
            self.add(link, Status.FAILED, str(error))
            return None
        self.add(link, Status.OK, sentence)
        return value


def _check_anchor(anchor: BundledAnchor, trust: Trust, found: _Findings) -> SettlementStatement | None:
    """Check one anchor; gives its statement if that is the one that the bundle says is on the chain."""
    statement = found.run(Link.STATEMENT, _read_statement, anchor.statement)
    if statement is not None:
        found.subject = statement.settlement_id
    memo = found.run(Link.MEMO, _hash_statement, statement, anchor)

    def on_chain(statement: SettlementStatement, memo: bytes) -> tuple[bool, str]:
        if trust.rpc is None:
            raise ChainUnavailable("No node of the chain was given, so nobody looked whether it is there: use --rpc.")
        return True, check_on_chain(statement, memo, anchor.chain, trust.rpc, payer=trust.payer, token=trust.token)

    found.run(Link.ANCHOR, on_chain, statement, memo)
    return None if memo is None else statement


def _check_receipt(
    receipt: BundledReceipt,
    proof: LogProof | Malformed,
    statements: Sequence[SettlementStatement | None],
    opener: _Opener,
    states: States,
    found: _Findings,
) -> dict[str, Any] | None:
    """Check one entry; gives its body if that is one."""
    body = found.run(Link.BODY, _read_body, receipt.body)
    if body is not None:
        found.subject = _subject_of(body)
        if not knows(body):
            found.doubt()
    if isinstance(proof, Malformed):
        found.add(Link.INCLUSION, Status.FAILED, f"The proof cannot be read. {proof}")
        checkpoint = found.run(Link.CHECKPOINT, _open_checkpoint, None, opener)
    else:
        checkpoint = found.run(Link.CHECKPOINT, _open_checkpoint, proof.checkpoint, opener)
        found.run(Link.INCLUSION, _check_inclusion, receipt.body, body, proof, checkpoint)
    found.run(Link.DISCLOSURES, _open_disclosures, receipt.disclosures, body)
    if receipt.anchor is None:
        sentence = (
            "Not yet anchored: only the log's operator vouches for its time. Ask again after the next settlement."
        )
        found.add(Link.ANCHOR, Status.NOT_CHECKED, sentence)
    else:
        found.run(Link.STATEMENT, _check_naming, statements[receipt.anchor], checkpoint, body, states)
    return body


def _subject_of(body: dict[str, Any]) -> str:
    """Name an entry by its id; one that has none of its own by its place."""
    if body["type"] in ("session-receipt", "correction") and is_valid_id(body["receipt_id"]):
        return str(body["receipt_id"])
    return f"entry {body['seq']}"


def _read_body(data: bytes) -> tuple[dict[str, Any], str]:
    if len(data) > MAX_ENTRY_BYTES:
        raise Malformed(f"The entry has {len(data)} bytes; an entry has at most {MAX_ENTRY_BYTES}.")
    body: dict[str, Any] = parse_canonical(data)
    return body, f"Canonical: {describe(body)}."


def _open_checkpoint(note: str, opener: _Opener) -> tuple[Checkpoint, str]:
    checkpoint = opener.open(note)
    return checkpoint, f"A pinned key signed the log {checkpoint.origin} at {checkpoint.size} entries."


def _check_inclusion(data: bytes, body: dict[str, Any], proof: LogProof, checkpoint: Checkpoint) -> tuple[bool, str]:
    if body["seq"] != proof.index:
        raise Malformed(f"The receipt says that it is entry {body['seq']}, its proof is for entry {proof.index}.")
    verify_inclusion(leaf_hash(data), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return True, f"Byte for byte entry {proof.index} of that log."


def _open_disclosures(disclosures: Sequence[str], body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    listed = member(body, "_sd", list) if "_sd" in body else []
    if not all(isinstance(item, str) for item in listed):
        raise Malformed("The digests of an entry's commitments are texts; these are not.")
    digests = set(listed)
    opened = [open_disclosure(digests, disclosure) for disclosure in disclosures]
    values = dict(opened)
    if len(values) != len(opened) or values.keys() & body.keys():
        raise Malformed("A disclosure repeats a name: of another disclosure or of the receipt itself.")
    shown = ", ".join(f"{name}={value!a}" for name, value in values.items()) or "nothing"
    return values, f"{len(values)} of {len(digests)} commitments opened: {shown}."


def _read_statement(data: bytes) -> tuple[SettlementStatement, str]:
    statement = SettlementStatement.parse(data)
    return statement, f"{statement.settlement_id} of {statement.organisation} adds up."


def _hash_statement(statement: SettlementStatement, anchor: BundledAnchor) -> tuple[bytes, str]:
    memo = hashlib.sha256(anchor.statement).digest()
    if memo.hex() != anchor.memo:
        raise Malformed(
            "The statement is not the one on the chain: its SHA-256 is not the memo. One of them was changed."
        )
    if statement.chain_id != anchor.chain.chain_id:
        raise Malformed(f"The statement is for chain {statement.chain_id}, its anchor on {anchor.chain.chain_id}.")
    return memo, f"Its SHA-256 is the memo {memo.hex()}."


def _check_naming(
    statement: SettlementStatement, checkpoint: Checkpoint, body: dict[str, Any], states: States
) -> tuple[bool, str]:
    if statement.organisation != body["organisation"]:
        raise Malformed("The statement is of another organisation than the receipt.")
    if statement.checkpoint == str(checkpoint):
        return True, f"{statement.settlement_id} names that checkpoint."
    named = Checkpoint.parse(statement.checkpoint)
    if named.origin == checkpoint.origin and states.are_one_log(named.size, checkpoint.size):
        if body["seq"] < named.size:
            which = "an earlier" if named.size < checkpoint.size else "a later"
            return (
                True,
                f"{statement.settlement_id} names {which} state of that log, {named.size} entries, with this one.",
            )
        raise Malformed(
            f"The statement is about the first {named.size} entries of the log; this is entry {body['seq']}."
        )
    raise Malformed("The statement names another checkpoint than the receipt's proof leads to.")
