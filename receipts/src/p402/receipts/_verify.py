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
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from p402.receipts._bundle import Bundle, BundledAnchor, BundledReceipt, parse_bundle
from p402.receipts._canonical import member, parse_canonical
from p402.receipts._commitment import open_disclosure
from p402.receipts._contents import knows
from p402.receipts._describe import describe
from p402.receipts._entry import MAX_ENTRY_BYTES
from p402.receipts._findings import Findings
from p402.receipts._note import Checkpoint
from p402.receipts._on_chain import check_on_chain
from p402.receipts._proof import LogProof, parse_proof
from p402.receipts._report import Check, Link, Report, Status
from p402.receipts._rotations import check_rotations
from p402.receipts._statement import SettlementStatement
from p402.receipts._states import States
from p402.receipts._trust import Opener, Trust
from p402.receipts._whole_range import check_complete
from p402.receipts.errors import ChainUnavailable, Malformed
from p402.receipts.merkle import leaf_hash, verify_inclusion
from p402.vocabulary import Permanent, is_valid_id

__all__ = ["verify"]


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
    opener = Opener(trust.verifier_keys)
    states = States(bundle.consistency)
    statements: list[SettlementStatement | None] = []
    for position, anchor in enumerate(bundle.anchors):
        found = Findings(f"anchor {position}")
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
        found = Findings(f"receipt {position}")
        bodies.append(_check_receipt(receipt, proofs[position], statements, opener, states, found))
        yield from found.checks
    yield from check_rotations(bodies, opener)
    if bundle.whole is not None or trust.complete:
        yield check_complete(bundle, bodies, trust, states)


def _parse_proof(text: str) -> LogProof | Malformed:
    try:
        return parse_proof(text)
    except Malformed as error:
        return error


def _check_states(
    bundle: Bundle,
    proofs: Sequence[LogProof | Malformed],
    trust: Trust,
    opener: Opener,
    states: States,
) -> Iterator[Check]:
    """Check that all states of the log that the bundle or the auditor speaks of are of one log."""
    for position, note in enumerate(bundle.checkpoints):
        found = Findings(f"checkpoint {position}")
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


def _check_anchor(anchor: BundledAnchor, trust: Trust, found: Findings) -> SettlementStatement | None:
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
    opener: Opener,
    states: States,
    found: Findings,
) -> dict[str, Any] | None:
    """Check one entry; gives its body if that is one."""
    body = _check_body(receipt.body, found)
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


def _check_body(data: bytes, found: Findings) -> dict[str, Any] | None:
    """Check that an entry is canonical and, if its type is known, has what that has; gives it, whatever its type."""
    try:
        body = _parse_body(data)
        told = describe(body)
    except Permanent as error:
        found.add(Link.BODY, Status.FAILED, str(error))
        return None
    found.subject = _subject_of(body)
    found.add(Link.BODY, Status.OK if knows(body) else Status.NOT_CHECKED, f"Canonical: {told}.")
    return body


def _parse_body(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_ENTRY_BYTES:
        raise Malformed(f"The entry has {len(data)} bytes; an entry has at most {MAX_ENTRY_BYTES}.")
    body: dict[str, Any] = parse_canonical(data)
    return body


def _subject_of(body: dict[str, Any]) -> str:
    """Name an entry by its id; one that has none of its own by its place."""
    if body["type"] in ("session-receipt", "correction") and is_valid_id(body["receipt_id"]):
        return str(body["receipt_id"])
    return f"entry {body['seq']}"


def _open_checkpoint(note: str, opener: Opener) -> tuple[Checkpoint, str]:
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
