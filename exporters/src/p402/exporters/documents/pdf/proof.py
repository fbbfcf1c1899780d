"""What a receipt's document says about evidence: its place in the log, its anchor, and how to check both (pure)."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import segno

from p402.exporters.documents.pdf.blocks import (
    Attachment,
    Block,
    Code,
    Facts,
    Paragraph,
    Picture,
    Points,
    Section,
    Value,
    mono,
)
from p402.exporters.documents.pdf.figures import count, utc
from p402.receipts import BundledAnchor, BundledReceipt, SettlementStatement, leaf_hash, parse_checkpoint, parse_proof
from p402.vocabulary import NANO_PER_MICRO, Money

__all__ = [
    "SOFTWARE",
    "anchor_section",
    "checkpoint_facts",
    "files_section",
    "proof_section",
    "status",
    "verification_section",
]

SOFTWARE = f"P402 Meter {version('p402-exporters')}"
_NETWORKS = {4217: "Tempo", 42431: "Tempo's test network Moderato; its tokens have no value", 31337: "a local chain"}


def proof_section(item: BundledReceipt, body: Mapping[str, Any]) -> Section:
    """Tell the entry's place in the log, and under which signed checkpoint it can be proved."""
    proof = parse_proof(item.proof)
    path = "\n".join(hashed.hex() for hashed in proof.hashes)
    return Section(
        "Proof of inclusion",
        (
            Facts(
                (
                    ("Entry", Value(count(body["seq"]), note="counted from 0")),
                    ("Leaf hash", mono(leaf_hash(item.body).hex())),
                    ("Entry before it", mono(body["prev"])),
                    *checkpoint_facts(proof.checkpoint),
                    ("Inclusion path", mono(path) if path else Value("", note="empty: the log had one entry")),
                )
            ),
        ),
    )


def checkpoint_facts(note: str) -> tuple[tuple[str, Value], ...]:
    """Tell what a signed checkpoint says, and by which keys."""
    checkpoint = parse_checkpoint(note)
    return (
        ("Log", mono(checkpoint.origin)),
        ("Checkpoint", Value(f"{count(checkpoint.size)} {'entry' if checkpoint.size == 1 else 'entries'}")),
        ("Root hash", mono(checkpoint.root.hex())),
        ("Id of its key", mono("\n".join(_key_ids(note)))),
    )


def status(anchor: BundledAnchor | None) -> str:
    """Say in a line whether a receipt is anchored."""
    if anchor is None:
        return "Not yet anchored"
    chain = anchor.chain
    return f"Anchored in block {chain.block_number} of chain {chain.chain_id}, {utc(chain.block_timestamp)}"


def anchor_section(anchor: BundledAnchor | None, explorer_url: str | None) -> Section:
    """Tell where on the chain the checkpoint stands, or that it does not yet."""
    title = "Anchor"
    if anchor is None:
        said = (
            "Not yet anchored. The log’s operator has signed the checkpoint above, so the receipt cannot be changed without "
            "that showing; when it was issued is so far the operator’s word. The next settlement anchors it."
        )
        return Section(title, (Paragraph(said),))
    chain, statement = anchor.chain, SettlementStatement.parse(anchor.statement)
    network = _NETWORKS.get(chain.chain_id)
    amount = Money(statement.amount_micro_usd * NANO_PER_MICRO)
    rows = (
        ("Settlement", mono(statement.settlement_id, note=f"mode {statement.mode.value}, amount {amount} USD")),
        ("Block", Value(str(chain.block_number), note=f"log {chain.log_index} of it")),
        ("Time of the block", Value(utc(chain.block_timestamp))),
        ("Chain", Value(str(chain.chain_id), note="" if network is None else network)),
    )
    hashes = (
        ("Memo", mono(anchor.memo, note="SHA-256 of the settlement statement, which names the checkpoint")),
        ("Transaction", mono(chain.tx_hash)),
        ("Block hash", mono(chain.block_hash)),
        ("Token", mono(statement.token)),
        ("Payer", mono(statement.payer)),
        ("Payee", mono(statement.payee)),
    )
    blocks: list[Block] = [Facts((*rows, *hashes))]
    if explorer_url is not None:
        linked = (*rows, ("Explorer", mono(explorer_url)))
        blocks = [
            Picture(linked, _qr(explorer_url), f"QR code of {explorer_url}", "Open in the explorer", explorer_url),
            Facts(hashes),
        ]
    return Section(title, tuple(blocks))


def verification_section(*, anchored: bool) -> Section:
    """Tell how anybody can check the receipt, what that proves, and what it does not."""
    node = " --rpc ADDRESS-OF-A-NODE" if anchored else ""
    steps = [
        "Take the file bundle.json out of this document; PDF readers list it under attachments.",
        (
            "Get the public key of the log from somewhere else than this document: the operator publishes it at "
            "/.well-known/receipt-keys. Its id is the one under “Proof of inclusion”."
        ),
        "Install the verifier, which needs nothing else of ours, and run it"
        + (" with a node of the chain that you choose:" if anchored else ":"),
    ]
    proved = (
        "That the receipt existed with this content before the time of the block, and that since then it was not changed, "
        "removed, reordered or cut off without breaking the log."
        if anchored
        else "That the holder of the key signed a log in which this receipt stands, byte for byte, at its place. Not yet "
        "when: the verifier reports “incomplete” until the receipt is anchored."
    )
    not_proved = (
        "That every call was metered (compare the totals with the providers’ invoices), or that what the receipt says was "
        "true when it was written. This page is a rendering: what is proved is the attached bytes."
    )
    return Section(
        "How to check this receipt",
        (
            Points(tuple(steps), numbered=True),
            Code(f"pip install p402-receipts\np402-verify bundle.json --key LOG.vkey{node}"),
            Facts((("This proves", Value(proved)), ("This does not prove", Value(not_proved)))),
        ),
    )


def files_section(files: Sequence[Attachment]) -> Section:
    """List what is attached, with hashes, and what made the document."""
    rows = tuple(
        (
            file.name,
            mono(
                hashlib.sha256(file.content).hexdigest(),
                note=f"SHA-256 of {count(len(file.content))} bytes. {file.description}",
            ),
        )
        for file in files
    )
    return Section("Files attached to this document", (Facts((*rows, ("Made by", Value(SOFTWARE)))),))


def _key_ids(note: str) -> list[str]:
    """Give the ids of the keys that a checkpoint is signed with: the first 4 bytes of each signature (C2SP signed-note)."""
    signatures = [line.rpartition(" ")[2] for line in note.split("\n") if line.startswith("— ")]
    return [base64.b64decode(signature)[:4].hex() for signature in signatures]


def _qr(url: str) -> str:
    """Draw a QR code. An address that ends in a hash is random enough for any mask: trying all eight costs more than the page."""
    out = io.BytesIO()
    segno.make(url, micro=False, error="m", mask=2).save(out, kind="svg", border=0, xmldecl=False, svgns=True)
    return out.getvalue().decode()
