"""The checked-in vectors: up to date, and true to the specifications without our own code."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import runpy
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p402.receipts import (
    TRANSFER_WITH_MEMO,
    ChainReader,
    Checkpoint,
    Link,
    Outcome,
    PinnedKey,
    Status,
    Trust,
    open_checkpoint,
    parse_checkpoint,
    verify,
    verify_consistency,
)
from p402.receipts.errors import CheckpointUntrusted, ProofRefuted
from support.sample_log import answering_node

FOLDER = Path(__file__).parent / "vectors"


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


BUNDLES = json.loads((FOLDER / "bundles.json").read_text(encoding="utf-8"))
TRUST = Trust((BUNDLES["verifier_key"],))


def test_the_files_are_what_the_script_writes() -> None:
    made = runpy.run_path(str(FOLDER.parent / "make_vectors.py"))["vectors"]()
    assert {path.name for path in FOLDER.iterdir()} == made.keys()
    for name, content in made.items():
        assert load(name) == content, f"{name} differs: run make_vectors.py and look at what changed."


def test_hashes_follow_from_the_bytes_with_nothing_but_sha_256() -> None:
    entries = load("entries.json")
    leaves = [hashlib.sha256(b"\0" + entry["body"].encode()).digest() for entry in entries]
    assert (
        [entry["leaf_hash"] for entry in entries]
        == [leaf.hex() for leaf in leaves]
        == load("merkle.json")["leaf_hashes"]
    )
    previous = "00" * 32
    for entry in entries:
        assert json.loads(entry["body"])["prev"] == previous
        previous = entry["leaf_hash"]

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\1" + left + right).digest()

    first, second, third, fourth, fifth = leaves
    expected = node(node(node(first, second), node(third, fourth)), fifth)
    assert load("merkle.json")["roots"][5] == expected.hex()
    assert base64.b64encode(expected).decode() == load("checkpoint.json")["note"].split("\n")[2]


def test_digests_follow_from_the_texts_with_nothing_but_sha_256() -> None:
    charges = load("charges.json")
    lines = "".join(line + "\n" for line in charges["lines"])
    assert hashlib.sha256(lines.encode()).hexdigest() == charges["sha256"]
    statement = load("statement.json")
    assert hashlib.sha256(statement["canonical"].encode()).hexdigest() == statement["memo"]
    for entry in load("entries.json"):
        digests = {
            base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            for text in entry["disclosures"]
        }
        assert digests == set(json.loads(entry["body"])["_sd"])


def test_the_good_bundle_is_verified() -> None:
    with answering_node(BUNDLES["chain_answers"]) as url:
        report = verify(json.dumps(BUNDLES["good"]).encode(), replace(TRUST, rpc=ChainReader(url)))
    assert report.outcome is Outcome.VERIFIED


@pytest.mark.parametrize("case", BUNDLES["broken"], ids=lambda case: case["change"])
def test_a_broken_bundle_fails_at_the_link_that_the_vector_names(case: dict[str, Any]) -> None:
    report = verify(json.dumps(case["bundle"]).encode(), TRUST)
    assert (report.outcome, report.broken) == (Outcome.FAILED, case["broken"])


def test_every_type_of_the_specification_is_there_and_is_chained() -> None:
    text = (Path(__file__).parents[2] / "receipts" / "FORMAT.md").read_text(encoding="utf-8")
    specified = re.findall(r"^### 3\.\d+ `([a-z-]+)`$", text, re.MULTILINE)
    entries = load("entry-types.json")["entries"]
    assert {json.loads(entry["body"])["type"] for entry in entries} == set(specified)
    previous = "00" * 32
    for entry in entries:
        assert json.loads(entry["body"])["prev"] == previous
        assert entry["leaf_hash"] == hashlib.sha256(b"\0" + entry["body"].encode()).hexdigest()
        previous = entry["leaf_hash"]


def test_every_member_of_an_entry_is_in_the_specification() -> None:
    text = (Path(__file__).parents[2] / "receipts" / "FORMAT.md").read_text(encoding="utf-8")
    for entry in load("entry-types.json")["entries"]:
        for name in json.loads(entry["body"]):
            assert f"`{name}`" in text, name


def test_the_access_logs_digest_follows_from_its_rows() -> None:
    vectors = load("entry-types.json")
    rows = vectors["access_log_rows"]
    lines = "".join(json.dumps(row, sort_keys=True, separators=(",", ":")) + "\n" for row in rows)
    [entry] = [body for it in vectors["entries"] if (body := json.loads(it["body"]))["type"] == "access-log"]
    assert entry["sha256"] == hashlib.sha256(lines.encode()).hexdigest()


def test_consistency_holds_where_the_vectors_say_so_and_nowhere_else() -> None:
    vectors = load("consistency.json")
    roots = [bytes.fromhex(item) for item in vectors["roots"]]

    def holds(proof: dict[str, Any]) -> bool:
        old, new = proof["from"], proof["to"]
        try:
            verify_consistency(old, new, roots[old], roots[new], [bytes.fromhex(item) for item in proof["hashes"]])
        except ProofRefuted:
            return False
        return True

    assert all(map(holds, vectors["proofs"]))
    assert len(vectors["proofs"]) == sum(range(1, len(roots) + 1))
    assert not any(map(holds, vectors["refused"]))


@pytest.mark.parametrize("case", load("rotation.json")["cases"], ids=lambda case: "+".join(case["pinned"]))
def test_a_checkpoint_around_a_rotation_is_trusted_by_whoever_pinned_a_key_that_may_sign_it(
    case: dict[str, Any],
) -> None:
    keys = load("rotation.json")["keys"]
    pinned = [PinnedKey(**keys[name]) for name in case["pinned"]]
    if case["trusted"]:
        assert open_checkpoint(case["note"], pinned) == parse_checkpoint(case["note"])
    else:
        with pytest.raises(CheckpointUntrusted):
            open_checkpoint(case["note"], pinned)


def pinning(vectors: dict[str, Any]) -> Trust:
    return Trust(
        tuple(PinnedKey(**key) for key in vectors["pinned_keys"]),
        checkpoints=(Checkpoint.parse(vectors["pinned_checkpoint"]),),
        complete=True,
    )


def test_the_good_bundle_of_version_2_is_verified_to_the_last_link() -> None:
    vectors = load("bundles-2.json")
    with answering_node(vectors["chain_answers"]) as url:
        report = verify(json.dumps(vectors["good"]).encode(), replace(pinning(vectors), rpc=ChainReader(url)))
    assert report.outcome is Outcome.VERIFIED
    assert {check.link for check in report.checks} == set(Link)


@pytest.mark.parametrize("case", load("bundles-2.json")["broken"], ids=lambda case: case["change"])
def test_a_broken_bundle_of_version_2_fails_at_the_link_that_the_vector_names(case: dict[str, Any]) -> None:
    report = verify(json.dumps(case["bundle"]).encode(), pinning(load("bundles-2.json")))
    assert (report.outcome, report.broken) == (Outcome.FAILED, case["broken"])


@pytest.mark.parametrize("case", load("bundles-2.json")["unchecked"], ids=lambda case: case["change"])
def test_a_bundle_of_version_2_that_proves_too_little_is_not_verified(case: dict[str, Any]) -> None:
    trust = pinning(load("bundles-2.json"))
    for pins in ((), (Checkpoint.parse(case["pinned_checkpoint"]),)):
        report = verify(json.dumps(case["bundle"]).encode(), replace(trust, checkpoints=pins, complete=False))
        assert report.outcome is Outcome.INCOMPLETE
        found = [check.status for check in report.checks if check.link == case["unchecked"]]
        assert found == [Status.NOT_CHECKED] * (1 + len(pins))


def test_the_specification_shows_the_vectors_checkpoint() -> None:
    text = (Path(__file__).parents[2] / "receipts" / "FORMAT.md").read_text(encoding="utf-8")
    assert textwrap.indent(load("checkpoint.json")["note"], "    ") in text
    assert TRANSFER_WITH_MEMO in text
