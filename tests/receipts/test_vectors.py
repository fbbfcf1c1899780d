"""The checked-in vectors: up to date, and true to the specifications without our own code."""

from __future__ import annotations

import base64
import hashlib
import json
import runpy
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p402.receipts import TRANSFER_WITH_MEMO, ChainReader, Outcome, Trust, verify
from support.sample_log import answering_node

FOLDER = Path(__file__).parent / "vectors"
BUNDLES = json.loads((FOLDER / "bundles.json").read_text(encoding="utf-8"))
TRUST = Trust((BUNDLES["verifier_key"],))


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


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


def test_the_specification_shows_the_vectors_checkpoint() -> None:
    text = (Path(__file__).parents[2] / "receipts" / "FORMAT.md").read_text(encoding="utf-8")
    assert textwrap.indent(load("checkpoint.json")["note"], "    ") in text
    assert TRANSFER_WITH_MEMO in text
