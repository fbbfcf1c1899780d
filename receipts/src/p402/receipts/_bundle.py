"""A bundle: receipts with everything needed to check them, in one JSON file that brings no keys.

Texts that are hashed travel as JSON strings of their exact bytes, so that nothing re-encodes them on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from p402.receipts._canonical import member, parse_json
from p402.receipts._statement import Anchor, SettlementStatement
from p402.receipts.errors import Malformed, NotCanonical

__all__ = ["BUNDLE_FORMAT", "Bundle", "BundledAnchor", "BundledReceipt", "make_bundle", "parse_bundle"]

BUNDLE_FORMAT = "p402-bundle/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledReceipt:
    """An entry of the log, what may be disclosed of it, and its proof."""

    body: bytes
    disclosures: tuple[str, ...] = ()
    proof: str
    """A tlog-proof; of an anchored receipt, to the checkpoint that the anchor's statement contains."""
    anchor: int | None
    """Index into the bundle's anchors; None while not anchored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledAnchor:
    """A settlement statement and where its memo stands on the chain."""

    statement: bytes
    memo: str
    """What the log on the chain carries: 64 hex digits."""
    chain: Anchor

    @classmethod
    def of(cls, statement: SettlementStatement, chain: Anchor) -> BundledAnchor:
        """Bundle a statement with its anchor."""
        return cls(statement=statement.canonical(), memo=statement.memo().hex(), chain=chain)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle's file says; nothing of it is checked yet."""

    receipts: tuple[BundledReceipt, ...]
    anchors: tuple[BundledAnchor, ...]


def make_bundle(receipts: Sequence[BundledReceipt], anchors: Sequence[BundledAnchor]) -> dict[str, Any]:
    """Put a bundle together, as a JSON value; `parse_bundle` reads what any JSON encoder makes of it."""
    return {
        "format": BUNDLE_FORMAT,
        "receipts": [
            {
                "body": item.body.decode(),
                "disclosures": list(item.disclosures),
                "proof": item.proof,
                "anchor": item.anchor,
            }
            for item in receipts
        ],
        "anchors": [
            {"statement": item.statement.decode(), "chain": {**asdict(item.chain), "memo": item.memo}}
            for item in anchors
        ],
    }


def parse_bundle(data: bytes) -> Bundle:
    """Read a bundle's file.

    Raises:
        Malformed: if it is not a bundle of this version.
    """
    try:
        value = parse_json(data)
    except NotCanonical as error:
        raise Malformed(f"The bundle cannot be read. {error}") from error
    if member(value, "format", str) != BUNDLE_FORMAT:
        raise Malformed(f"The bundle's format is {value['format'][:80]!r}; this release reads {BUNDLE_FORMAT!r}.")
    bundle = Bundle(
        tuple(map(_receipt, member(value, "receipts", list))), tuple(map(_anchor, member(value, "anchors", list)))
    )
    if not bundle.receipts:
        raise Malformed("The bundle holds no receipt, so there is nothing to verify.")
    if make_bundle(bundle.receipts, bundle.anchors) != value:
        raise Malformed("The bundle says more than its format allows.")
    for receipt in bundle.receipts:
        if receipt.anchor is not None and receipt.anchor not in range(len(bundle.anchors)):
            raise Malformed(f"A receipt refers to anchor {receipt.anchor}; the bundle has {len(bundle.anchors)}.")
    return bundle


def _receipt(value: Any) -> BundledReceipt:
    return BundledReceipt(
        body=_bytes(value, "body"),
        disclosures=tuple(map(str, member(value, "disclosures", list))),
        proof=member(value, "proof", str),
        anchor=None if value.get("anchor") is None else member(value, "anchor", int),
    )


def _anchor(value: Any) -> BundledAnchor:
    chain = member(value, "chain", dict)
    return BundledAnchor(
        statement=_bytes(value, "statement"),
        memo=member(chain, "memo", str),
        chain=Anchor(
            chain_id=member(chain, "chain_id", int),
            tx_hash=member(chain, "tx_hash", str),
            block_number=member(chain, "block_number", int),
            block_hash=member(chain, "block_hash", str),
            block_timestamp=member(chain, "block_timestamp", int),
            log_index=member(chain, "log_index", int),
        ),
    )


def _bytes(value: Any, name: str) -> bytes:
    try:
        return member(value, name, str).encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"{name!r} holds a lone surrogate, which no text of a receipt does.") from error
