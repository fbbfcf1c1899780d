"""Writes the test vectors of FORMAT.md for whoever implements it again: run it with tests/ on the path.

    PYTHONPATH=tests python tests/receipts/make_vectors.py

Keys, salts and times are fixed, so the files change only when the format does; a test compares them.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from p402.receipts import (
    SealedReceipt,
    charge_line,
    charges_digest,
    consistency_proof,
    inclusion_proof,
    root,
    sign_checkpoint,
)
from support.sample_log import (
    ORIGIN,
    SampleLog,
    chain_answers,
    fixed_signer,
    reference_statement,
    sample_bundle,
    sample_charge,
    sample_log,
    sample_statement,
    unpriced_charge,
)

FOLDER = Path(__file__).parent / "vectors"


def vectors() -> dict[str, Any]:
    """Give the content of every file by its name."""
    log = sample_log(5)
    return {
        "charges.json": _charges(),
        "entries.json": [_entry(entry) for entry in log.entries if isinstance(entry, SealedReceipt)],
        "merkle.json": _merkle(log),
        "checkpoint.json": _checkpoint(log),
        "proof.json": {"seq": 2, "leaf_hash": log.entries[2].leaf_hash.hex(), "tlog_proof": log.proof(2)},
        "statement.json": {
            "canonical": sample_statement(log).canonical().decode(),
            "memo": sample_statement(log).memo().hex(),
        },
        "statement-2.json": {
            "canonical": reference_statement(log).canonical().decode(),
            "memo": reference_statement(log).memo().hex(),
        },
        "bundles.json": _bundles(log),
    }


def _charges() -> dict[str, Any]:
    charges = [sample_charge(2), unpriced_charge(2)]
    return {"lines": [charge_line(charge).decode() for charge in charges], "sha256": charges_digest(charges)}


def _entry(receipt: SealedReceipt) -> dict[str, Any]:
    return {
        "body": receipt.body.decode(),
        "leaf_hash": receipt.leaf_hash.hex(),
        "disclosures": list(receipt.disclosures),
    }


def _merkle(log: SampleLog) -> dict[str, Any]:
    size = len(log.entries)
    return {
        "leaf_hashes": [entry.leaf_hash.hex() for entry in log.entries],
        "roots": [root(count, log.get).hex() for count in range(size + 1)],
        "inclusion": [[item.hex() for item in inclusion_proof(index, size, log.get)] for index in range(size)],
        "consistency": [[item.hex() for item in consistency_proof(old, size, log.get)] for old in range(size + 1)],
    }


def _checkpoint(log: SampleLog) -> dict[str, Any]:
    signer = fixed_signer()
    return {
        "origin": ORIGIN,
        "ed25519_seed": "SHA-256 of the ASCII text 'sample'",
        "verifier_key": signer.verifier_key,
        "note": sign_checkpoint(log.checkpoint(), [signer]),
    }


def _bundles(log: SampleLog) -> dict[str, Any]:
    """Give a good bundle, what the chain answers about it, and broken ones with the link that breaks."""
    good = sample_bundle(log, 2)
    changes = [
        ("cost", ("receipts", "body"), "0.264235", "0.264234", "inclusion"),
        ("space", ("receipts", "body"), "{", "{ ", "body"),
        ("place", ("receipts", "proof"), "index 2", "index 3", "inclusion"),
        ("size of the log", ("receipts", "proof"), "\n5\n", "\n6\n", "checkpoint"),
        ("amount", ("anchors", "statement"), '"amount_micro_usd":"0"', '"amount_micro_usd":"1"', "statement"),
        ("settlement", ("anchors", "statement"), "stl_1", "stl_2", "memo"),
    ]
    broken = []
    for name, (section, member), old, new, link in changes:
        bundle = deepcopy(good)
        bundle[section][0][member] = bundle[section][0][member].replace(old, new, 1)
        broken.append({"change": name, "broken": link, "bundle": bundle})
    return {
        "verifier_key": fixed_signer().verifier_key,
        "good": good,
        "chain_answers": chain_answers(sample_statement(log)),
        "broken": broken,
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in vectors().items():
        (FOLDER / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
