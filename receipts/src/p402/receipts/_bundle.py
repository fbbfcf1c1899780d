"""A bundle: receipts with everything needed to check them, in one JSON file that brings no keys.

Texts that are hashed travel as JSON strings of their exact bytes, so that nothing re-encodes them on the way. Version 2
adds what ties several states of the log together: checkpoints, proofs of consistency, and whether it is a whole range.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from p402.receipts._canonical import member, parse_json
from p402.receipts._statement import Anchor, SettlementStatement
from p402.receipts.errors import Malformed, NotCanonical

__all__ = [
    "BUNDLE_FORMAT",
    "BUNDLE_FORMAT_1",
    "Bundle",
    "BundledAnchor",
    "BundledConsistency",
    "BundledReceipt",
    "make_bundle",
    "parse_bundle",
]

BUNDLE_FORMAT = "p402-bundle/2"
BUNDLE_FORMAT_1 = "p402-bundle/1"
_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_HASHES = 128  # a log of 2⁶⁴ entries needs no more


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledReceipt:
    """An entry of the log, what may be disclosed of it, and its proof."""

    body: bytes
    disclosures: tuple[str, ...] = ()
    proof: str
    """A tlog-proof."""
    anchor: int | None
    """Index into the bundle's anchors; None while not anchored. Its statement contains the checkpoint that the proof
    leads to or, in version 2, an earlier one that has this entry too."""


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
class BundledConsistency:
    """A proof that the log of one size begins with the log of an earlier one."""

    old: int
    new: int
    hashes: tuple[str, ...]
    """64 hex digits each, as `merkle.consistency_proof` gives them."""

    @classmethod
    def of(cls, old: int, new: int, hashes: Sequence[bytes]) -> BundledConsistency:
        """Bundle the hashes of a proof."""
        return cls(old, new, tuple(item.hex() for item in hashes))


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle's file says; nothing of it is checked yet."""

    receipts: tuple[BundledReceipt, ...]
    anchors: tuple[BundledAnchor, ...]
    version: int = 1
    checkpoints: tuple[str, ...] = ()
    """Further signed checkpoints of the same log, for example the newest one."""
    consistency: tuple[BundledConsistency, ...] = ()
    whole: tuple[int, int] | None = None
    """The first and the last `seq` of a range that nothing is left out of; None: a selection."""


def make_bundle(
    receipts: Sequence[BundledReceipt],
    anchors: Sequence[BundledAnchor],
    *,
    checkpoints: Sequence[str] = (),
    consistency: Sequence[BundledConsistency] = (),
    whole: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Put a bundle together, as a JSON value; `parse_bundle` reads what any JSON encoder makes of it.

    It is of version 1 unless it needs version 2.

    Args:
        receipts: at least one.
        anchors: what their indexes refer to.
        checkpoints: further signed checkpoints of the log.
        consistency: proofs between the sizes of all checkpoints in the bundle, those in statements included.
        whole: first and last `seq`, if the receipts are all entries from one to the other, in order.
    """
    version = 2 if checkpoints or consistency or whole is not None else 1
    return _to_json(Bundle(tuple(receipts), tuple(anchors), version, tuple(checkpoints), tuple(consistency), whole))


def _to_json(bundle: Bundle) -> dict[str, Any]:
    first = {
        "format": BUNDLE_FORMAT_1 if bundle.version == 1 else BUNDLE_FORMAT,
        "receipts": [
            {
                "body": item.body.decode(),
                "disclosures": list(item.disclosures),
                "proof": item.proof,
                "anchor": item.anchor,
            }
            for item in bundle.receipts
        ],
        "anchors": [
            {"statement": item.statement.decode(), "chain": {**asdict(item.chain), "memo": item.memo}}
            for item in bundle.anchors
        ],
    }
    if bundle.version == 1:
        return first
    return {
        **first,
        "checkpoints": list(bundle.checkpoints),
        "consistency": [{"from": item.old, "to": item.new, "hashes": list(item.hashes)} for item in bundle.consistency],
        "range": None if bundle.whole is None else {"first": bundle.whole[0], "last": bundle.whole[1]},
    }


def parse_bundle(data: bytes) -> Bundle:
    """Read a bundle's file, of version 1 or 2.

    Raises:
        Malformed: if it is not a bundle of these versions.
    """
    try:
        value = parse_json(data)
    except NotCanonical as error:
        raise Malformed(f"The bundle cannot be read. {error}") from error
    version = {BUNDLE_FORMAT_1: 1, BUNDLE_FORMAT: 2}.get(member(value, "format", str))
    if version is None:
        raise Malformed(
            f"The bundle's format is {value['format'][:80]!r}; this release reads {BUNDLE_FORMAT_1!r} and {BUNDLE_FORMAT!r}."
        )
    receipts = tuple(map(_receipt, member(value, "receipts", list)))
    anchors = tuple(map(_anchor, member(value, "anchors", list)))
    bundle = Bundle(receipts, anchors) if version == 1 else Bundle(receipts, anchors, version, *_ties(value))
    if not bundle.receipts:
        raise Malformed("The bundle holds no receipt, so there is nothing to verify.")
    if _to_json(bundle) != value:
        raise Malformed("The bundle says more than its format allows.")
    for receipt in bundle.receipts:
        if receipt.anchor is not None and receipt.anchor not in range(len(bundle.anchors)):
            raise Malformed(f"A receipt refers to anchor {receipt.anchor}; the bundle has {len(bundle.anchors)}.")
    return bundle


def _ties(value: Any) -> tuple[tuple[str, ...], tuple[BundledConsistency, ...], tuple[int, int] | None]:
    proofs = tuple(
        BundledConsistency(member(item, "from", int), member(item, "to", int), _hashes(member(item, "hashes", list)))
        for item in member(value, "consistency", list)
    )
    checkpoints = tuple(map(str, member(value, "checkpoints", list)))
    if value.get("range") is None:
        return checkpoints, proofs, None
    whole = member(value, "range", dict)
    return checkpoints, proofs, (member(whole, "first", int), member(whole, "last", int))


def _hashes(values: list[Any]) -> tuple[str, ...]:
    for item in values:
        if not isinstance(item, str) or not _HASH.fullmatch(item):
            raise Malformed("The hashes of a consistency proof are 64 lower-case hex digits each.")
    if len(values) > _MAX_HASHES:
        raise Malformed(f"A consistency proof has at most {_MAX_HASHES} hashes; this has {len(values)}.")
    return tuple(values)


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
