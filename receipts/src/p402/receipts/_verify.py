"""Checks a bundle, trusting nothing in it but what the caller pins.

::

    body ── leaf hash ── inclusion ── checkpoint ── statement ── memo ── anchor
      │                                   │                                │
    disclosures                     a pinned key                a node of the chain
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from p402.receipts._bundle import Bundle, BundledAnchor, BundledReceipt, parse_bundle
from p402.receipts._canonical import member, parse_canonical
from p402.receipts._chain import ChainReader
from p402.receipts._commitment import open_disclosure
from p402.receipts._note import Checkpoint, open_checkpoint
from p402.receipts._on_chain import check_on_chain
from p402.receipts._proof import LogProof, parse_proof
from p402.receipts._report import Check, Link, Report, Status
from p402.receipts._statement import SettlementStatement
from p402.receipts.errors import ChainUnavailable, Malformed
from p402.receipts.merkle import leaf_hash, verify_inclusion
from p402.vocabulary import Permanent, Transient, is_valid_id

__all__ = ["Trust", "verify"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trust:
    """What the auditor brings along; a bundle brings none of it."""

    verifier_keys: tuple[str, ...]
    """Keys of the log (vkeys), obtained from its operator by another way than the bundle."""
    rpc: ChainReader | None = None
    """A node of the chain on which anchors must stand; without it anchors stay unchecked."""
    payer: str | None = None
    """The address that must have paid, in lower case; without it the report says who did."""
    token: str | None = None
    """The token that must have been paid in, likewise."""


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
    statements = []
    for position, anchor in enumerate(bundle.anchors):
        found = _Findings(f"anchor {position}")
        statements.append(_check_anchor(anchor, trust, found))
        yield from found.checks
    for position, receipt in enumerate(bundle.receipts):
        found = _Findings(f"receipt {position}")
        _check_receipt(receipt, statements, trust, found)
        yield from found.checks


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
    statement = found.run(Link.STATEMENT, _read_statement, anchor.statement)
    if statement is not None:
        found.subject = statement.settlement_id
    memo = found.run(Link.MEMO, _hash_statement, statement, anchor)

    def on_chain(statement: SettlementStatement, memo: bytes) -> tuple[bool, str]:
        if trust.rpc is None:
            raise ChainUnavailable("No node of the chain was given, so nobody looked whether it is there: use --rpc.")
        return True, check_on_chain(statement, memo, anchor.chain, trust.rpc, payer=trust.payer, token=trust.token)

    found.run(Link.ANCHOR, on_chain, statement, memo)
    return statement


def _check_receipt(
    receipt: BundledReceipt, statements: Sequence[SettlementStatement | None], trust: Trust, found: _Findings
) -> None:
    body = found.run(Link.BODY, _read_body, receipt.body)
    if body is not None and is_valid_id(body.get("receipt_id")):
        found.subject = body["receipt_id"]
    try:
        proof = parse_proof(receipt.proof)
    except Malformed as error:
        found.add(Link.INCLUSION, Status.FAILED, f"The proof cannot be read. {error}")
        proof = None
    checkpoint = found.run(Link.CHECKPOINT, _open_checkpoint, proof, trust.verifier_keys)
    if proof is not None:
        found.run(Link.INCLUSION, _check_inclusion, receipt.body, body, proof, checkpoint)
    found.run(Link.DISCLOSURES, _open_disclosures, receipt.disclosures, body)
    if receipt.anchor is None:
        sentence = (
            "Not yet anchored: only the log's operator vouches for its time. Ask again after the next settlement."
        )
        found.add(Link.ANCHOR, Status.NOT_CHECKED, sentence)
    else:
        found.run(Link.STATEMENT, _check_naming, statements[receipt.anchor], checkpoint, body)


def _read_body(data: bytes) -> tuple[dict[str, Any], str]:
    body: dict[str, Any] = parse_canonical(data)
    kind, seq, organisation = member(body, "type", str), member(body, "seq", int), member(body, "organisation", str)
    if member(body, "version", int) != 1:
        raise Malformed(f"Entry {seq} is of version {body['version']}; this release reads version 1.")
    said = f", {cost} USD" if isinstance(cost := body.get("cost_usd"), str) else ""
    return body, f"Canonical: a {ascii(kind)[1:-1]} of {ascii(organisation)[1:-1]}, entry {seq}{ascii(said)[1:-1]}."


def _open_checkpoint(proof: LogProof, verifier_keys: Sequence[str]) -> tuple[Checkpoint, str]:
    checkpoint = open_checkpoint(proof.checkpoint, verifier_keys)
    return checkpoint, f"A pinned key signed the log {checkpoint.origin} at {checkpoint.size} entries."


def _check_inclusion(data: bytes, body: dict[str, Any], proof: LogProof, checkpoint: Checkpoint) -> tuple[bool, str]:
    if body["seq"] != proof.index:
        raise Malformed(f"The receipt says that it is entry {body['seq']}, its proof is for entry {proof.index}.")
    verify_inclusion(leaf_hash(data), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return True, f"Byte for byte entry {proof.index} of that log."


def _open_disclosures(disclosures: Sequence[str], body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    digests = set(body.get("_sd") or ())
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


def _check_naming(statement: SettlementStatement, checkpoint: Checkpoint, body: dict[str, Any]) -> tuple[bool, str]:
    if statement.checkpoint != str(checkpoint):
        raise Malformed("The statement names another checkpoint than the receipt's proof leads to.")
    if statement.organisation != body["organisation"]:
        raise Malformed("The statement is of another organisation than the receipt.")
    return True, f"{statement.settlement_id} names that checkpoint."
