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
    BundledAnchor,
    BundledConsistency,
    BundledReceipt,
    CommittedEntry,
    SealedReceipt,
    charge_line,
    charges_digest,
    consistency_proof,
    format_proof,
    inclusion_proof,
    make_bundle,
    root,
    sign_checkpoint,
)
from support.sample_entries import ACCESS_ROWS, NEW, OLD, ROTATION, log_of_every_type, signed
from support.sample_log import (
    ORIGIN,
    SAMPLE_ANCHOR,
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
        "entry-types.json": _entry_types(),
        "consistency.json": _consistency(),
        "rotation.json": _rotation(),
        "bundles-2.json": _bundles_of_version_2(),
    }


def _charges() -> dict[str, Any]:
    charges = [sample_charge(2), unpriced_charge(2)]
    return {"lines": [charge_line(charge).decode() for charge in charges], "sha256": charges_digest(charges)}


def _entry(receipt: CommittedEntry) -> dict[str, Any]:
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
        ("cost", ("receipts", "body"), "0.264235", "0.264234", -1, "inclusion"),
        ("cost of a model", ("receipts", "body"), "0.264235", "0.264234", 1, "body"),
        ("member of a member", ("receipts", "body"), '"cache_read"', '"cache_reed"', 1, "body"),
        ("spelling of an amount", ("receipts", "body"), "0.264235", "0.2642350", -1, "body"),
        ("space", ("receipts", "body"), "{", "{ ", 1, "body"),
        ("place", ("receipts", "proof"), "index 2", "index 3", 1, "inclusion"),
        ("size of the log", ("receipts", "proof"), "\n5\n", "\n6\n", 1, "checkpoint"),
        ("amount", ("anchors", "statement"), '"amount_micro_usd":"0"', '"amount_micro_usd":"1"', 1, "statement"),
        ("settlement", ("anchors", "statement"), "stl_1", "stl_2", 1, "memo"),
    ]
    broken = []
    for name, (section, member), old, new, count, link in changes:
        bundle = deepcopy(good)
        bundle[section][0][member] = bundle[section][0][member].replace(old, new, count)
        broken.append({"change": name, "broken": link, "bundle": bundle})
    return {
        "verifier_key": fixed_signer().verifier_key,
        "good": good,
        "chain_answers": chain_answers(sample_statement(log)),
        "broken": broken,
    }


def _entry_types() -> dict[str, Any]:
    """Give a log with an entry of every type, and the rows that its access-log entry is about."""
    return {
        "entries": [
            _entry(entry)
            if isinstance(entry, CommittedEntry)
            else {"body": entry.body.decode(), "leaf_hash": entry.leaf_hash.hex()}
            for entry in log_of_every_type().entries
        ],
        "access_log_rows": ACCESS_ROWS,
    }


def _consistency() -> dict[str, Any]:
    """Give proofs between all sizes of that log, and some that must be refused."""
    log = log_of_every_type()
    sizes = range(len(log.entries) + 1)
    proofs = [_proof(log, old, new) for new in sizes for old in range(new + 1)]
    good = _proof(log, 5, 9)
    return {
        "roots": [root(size, log.get).hex() for size in sizes],
        "proofs": proofs,
        "refused": [
            {"why": "a hash is another", **good, "hashes": [*good["hashes"][:-1], "00" * 32]},
            {"why": "a hash is missing", **good, "hashes": good["hashes"][:-1]},
            {"why": "there is a hash too many", **good, "hashes": [*good["hashes"], "00" * 32]},
            {"why": "it begins with another size", **good, "from": 6},
            {"why": "it is for another size", **good, "to": 8},
            {"why": "it goes back", **good, "from": 9, "to": 5},
        ],
    }


def _proof(log: SampleLog, old: int, new: int) -> dict[str, Any]:
    return {"from": old, "to": new, "hashes": [item.hex() for item in consistency_proof(old, new, log.get)]}


def _rotation() -> dict[str, Any]:
    """Give the keys and signed checkpoints around a rotation, and which are trusted by whoever pinned what."""
    log = log_of_every_type()
    size = len(log.entries)
    sizes = {"old": (1, size - 1), "new": (ROTATION + 1, None)}
    notes = {number: signed(log, number) for number in (ROTATION, ROTATION + 1, size)}
    replaced = sign_checkpoint(log.checkpoint(), [OLD])
    return {
        "ed25519_seeds": {"old": "SHA-256 of 'sample'", "new": "SHA-256 of 'successor'"},
        "keys": {
            name: {"vkey": signer.verifier_key, "first_size": sizes[name][0], "last_size": sizes[name][1]}
            for name, signer in (("old", OLD), ("new", NEW))
        },
        "entry": log.entries[ROTATION].body.decode(),
        "cases": [
            {"note": notes[ROTATION], "pinned": ["old"], "trusted": True},
            {"note": notes[ROTATION], "pinned": ["new"], "trusted": False},
            {"note": notes[ROTATION + 1], "pinned": ["old"], "trusted": True},
            {"note": notes[ROTATION + 1], "pinned": ["new"], "trusted": True},
            {"note": notes[size], "pinned": ["old", "new"], "trusted": True},
            {"note": notes[size], "pinned": ["old"], "trusted": False},
            {"note": replaced, "pinned": ["old", "new"], "trusted": False},
        ],
    }


def _bundles_of_version_2() -> dict[str, Any]:
    """Give a range of that log under its newest checkpoint, anchored earlier, and broken ones."""
    log, early = log_of_every_type(), SampleLog()
    for entry in log.entries[:9]:
        early.append(entry)
    size, note = len(log.entries), signed(log, len(log.entries))
    receipts = [
        BundledReceipt(
            body=entry.body,
            disclosures=entry.disclosures if isinstance(entry, CommittedEntry) else (),
            proof=format_proof(entry.seq, inclusion_proof(entry.seq, size, log.get), note),
            anchor=0,
        )
        for entry in early.entries
    ]
    statement = sample_statement(early)
    ties = [BundledConsistency.of(old, size, consistency_proof(old, size, log.get)) for old in (ROTATION, 9)]
    good = make_bundle(receipts, [BundledAnchor.of(statement, SAMPLE_ANCHOR)], consistency=ties, whole=(0, 8))
    replaced, gap, forked, later = (deepcopy(good) for _ in range(4))
    for item in replaced["receipts"]:
        item["proof"] = item["proof"].replace(note, sign_checkpoint(log.checkpoint(), [OLD]))
    del gap["receipts"][3]
    forked["consistency"][0]["hashes"][0] = "00" * 32
    later["receipts"][8]["body"] = later["receipts"][7]["body"]
    return {
        "pinned_keys": [{"vkey": OLD.verifier_key}, {"vkey": NEW.verifier_key}],
        "pinned_checkpoint": str(log.checkpoint(ROTATION)),
        "chain_answers": chain_answers(statement),
        "good": good,
        "broken": [
            {"change": "a replaced key signs", "broken": "checkpoint", "bundle": replaced},
            {"change": "an entry is missing", "broken": "complete", "bundle": gap},
            {"change": "a proof of consistency", "broken": "consistency", "bundle": forked},
            {"change": "an entry twice", "broken": "inclusion", "bundle": later},
        ],
        "unchecked": [{"change": "two branches, each with a proof from before the fork", **_fork()}],
    }


def _fork() -> dict[str, Any]:
    """Give two states, of 7 and of 9 entries, that only share one of 5; the one of 7 is pinned and anchored."""
    one, other = sample_log(7), sample_log(6)
    for number in range(6, 9):
        other.add_receipt(sample_charge(number + 100))
    note = _signed_by_old(other)
    receipts = [
        BundledReceipt(
            body=other.entries[8].body,
            proof=format_proof(8, inclusion_proof(8, 9, other.get), note),
            anchor=None,
        )
    ]
    ties = [BundledConsistency.of(5, size, consistency_proof(5, size, log.get)) for size, log in ((7, one), (9, other))]
    anchors = [BundledAnchor.of(sample_statement(one), SAMPLE_ANCHOR)]
    five = sign_checkpoint(one.checkpoint(5), [OLD])
    bundle = make_bundle(receipts, anchors, checkpoints=[five, _signed_by_old(one)], consistency=ties)
    return {"unchecked": "consistency", "pinned_checkpoint": str(one.checkpoint()), "bundle": bundle}


def _signed_by_old(log: SampleLog) -> str:
    return sign_checkpoint(log.checkpoint(), [OLD])


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in vectors().items():
        (FOLDER / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
