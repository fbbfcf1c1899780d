"""The whole chain from a receipt's bytes to the block, and that every break is noticed and named."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from p402.receipts import (
    EntryPlace,
    Link,
    Outcome,
    Status,
    Trust,
    canonical,
    commit,
    leaf_hash,
    settlement_entry,
    verify,
)
from support.sample_log import (
    NINE,
    SAMPLE_ANCHOR,
    fixed_signer,
    sample_bundle,
    sample_log,
    sample_statement,
)
from support.verifying import BUNDLE, LOG, OF_RECEIPTS, OFFLINE, answers, check, links, trust

__all__ = ["answers", "trust"]


def test_with_a_key_and_a_node_every_link_holds(trust: Trust) -> None:
    report = check(BUNDLE, trust)
    assert report.outcome is Outcome.VERIFIED
    assert links(report, Status.OK) == OF_RECEIPTS
    assert report.broken is None


def test_several_receipts_share_an_anchor(trust: Trust) -> None:
    report = check(sample_bundle(LOG, 0, 1, 2, 3, 4), trust)
    assert report.outcome is Outcome.VERIFIED
    assert len({item.subject for item in report.checks}) == 7  # the bundle, the settlement, five receipts


def test_without_a_node_the_anchor_is_not_checked_and_nothing_is_called_verified() -> None:
    report = check(BUNDLE)
    assert report.outcome is Outcome.INCOMPLETE
    assert links(report, Status.NOT_CHECKED) == {Link.ANCHOR}


def test_a_receipt_without_an_anchor_is_not_yet_anchored(trust: Trust) -> None:
    report = check(sample_bundle(LOG, 4, anchored=False), trust)
    assert report.outcome is Outcome.INCOMPLETE
    assert any(item.link is Link.ANCHOR and item.sentence.startswith("Not yet anchored") for item in report.checks)


def test_after_an_erasure_the_receipt_still_verifies_and_the_name_is_gone(trust: Trust) -> None:
    erased = sample_bundle(LOG, 2)
    erased["receipts"][0]["disclosures"] = []
    assert check(erased, trust).outcome is Outcome.VERIFIED
    assert "emp_7" not in json.dumps(erased)


def test_a_settlement_entry_is_proved_like_a_receipt() -> None:
    log = sample_log(3)
    log.append(
        settlement_entry(
            EntryPlace(organisation="acme", seq=3, prev=log.prev, issued_at=NINE),
            settlement_id="stl_0",
            memo=bytes(32),
            anchor=SAMPLE_ANCHOR,
        )
    )
    assert links(check(sample_bundle(log, 3)), Status.OK) == OF_RECEIPTS - {Link.ANCHOR}


@pytest.mark.parametrize("flip", [1, 2, 4, 8, 16])
@pytest.mark.parametrize(
    ("section", "name", "allowed"),
    [
        ("receipts", "body", {Link.BODY, Link.INCLUSION}),
        ("receipts", "proof", {Link.INCLUSION, Link.CHECKPOINT}),
        ("anchors", "statement", {Link.STATEMENT, Link.MEMO}),
    ],
)
def test_every_changed_byte_is_noticed_offline_and_the_link_is_named(
    section: str, name: str, allowed: set[Link], flip: int
) -> None:
    text = BUNDLE[section][0][name]
    changed = copy.deepcopy(BUNDLE)
    for position, character in enumerate(text):
        changed[section][0][name] = text[:position] + chr(ord(character) ^ flip) + text[position + 1 :]
        report = check(changed)
        assert report.outcome is Outcome.FAILED, position
        assert report.broken in allowed, (position, report.broken)


def test_no_changed_byte_of_the_file_leaves_it_verified(trust: Trust) -> None:
    data = json.dumps(BUNDLE, separators=(",", ":")).encode()
    assert verify(data, trust).outcome is Outcome.VERIFIED
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        if verify(bytes(changed), OFFLINE).outcome is not Outcome.FAILED:
            assert verify(bytes(changed), trust).outcome is not Outcome.VERIFIED, position


def test_a_receipt_of_another_log_with_the_same_key_name_is_refused() -> None:
    assert check(BUNDLE, Trust((fixed_signer("other").verifier_key,))).broken is Link.CHECKPOINT


def test_the_proof_of_another_receipt_does_not_do() -> None:
    changed = copy.deepcopy(BUNDLE)
    changed["receipts"][0]["proof"] = LOG.proof(3)
    assert check(changed).broken is Link.INCLUSION


def test_a_statement_about_an_earlier_state_of_the_log_does_not_do() -> None:
    changed = copy.deepcopy(BUNDLE)
    statement = replace(sample_statement(LOG), checkpoint=str(LOG.checkpoint(4)))
    changed["anchors"][0]["statement"] = statement.canonical().decode()
    changed["anchors"][0]["chain"]["memo"] = statement.memo().hex()
    assert check(changed).broken is Link.STATEMENT


def test_a_statement_of_another_organisation_does_not_do() -> None:
    changed = copy.deepcopy(BUNDLE)
    statement = replace(sample_statement(LOG), organisation="other")
    changed["anchors"][0]["statement"] = statement.canonical().decode()
    changed["anchors"][0]["chain"]["memo"] = statement.memo().hex()
    assert check(changed).broken is Link.STATEMENT


def test_a_disclosure_of_another_receipt_does_not_do() -> None:
    changed = copy.deepcopy(BUNDLE)
    changed["receipts"][0]["disclosures"] = sample_bundle(LOG, 3)["receipts"][0]["disclosures"]
    assert check(changed).broken is Link.DISCLOSURES


def test_a_disclosure_is_shown_once() -> None:
    changed = copy.deepcopy(BUNDLE)
    changed["receipts"][0]["disclosures"] *= 2
    assert check(changed).broken is Link.DISCLOSURES


def test_a_name_that_occurs_twice_is_refused() -> None:
    text = json.dumps(BUNDLE).replace('"anchors":', '"anchors": [], "anchors":')
    assert verify(text.encode(), OFFLINE).broken is Link.FORMAT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"format":"p402-bundle/2","receipts":[],"anchors":[]}',
        b'{"format":"p402-bundle/1","receipts":[],"anchors":[]}',
        b'{"format":"p402-bundle/1","receipts":[1],"anchors":[]}',
        b'{"format":"p402-bundle/1","receipts":[{}],"anchors":[]}',
        b'{"format":"p402-bundle/1","receipts":{},"anchors":[]}',
        b"[" * 100_000,
    ],
    ids=range(10),
)
def test_what_is_no_bundle_is_said_to_be_none(data: bytes) -> None:
    assert verify(data, OFFLINE).broken is Link.FORMAT


@pytest.mark.parametrize(
    "change",
    [
        {"anchor": 1},
        {"anchor": -1},
        {"anchor": True},
        {"anchor": "0"},
        {"extra": 1},
        {"disclosures": [1]},
        {"body": 1},
        {"body": "\ud800"},
        {"proof": None},
    ],
    ids=str,
)
def test_a_receipt_of_other_members_or_types_is_no_bundle(change: dict[str, Any]) -> None:
    changed = copy.deepcopy(BUNDLE)
    changed["receipts"][0].update(change)
    assert check(changed).broken is Link.FORMAT


@pytest.mark.parametrize("body", ["1", "[]", "{}", "null", '{"type":"x"}', "not json"])
def test_a_body_that_is_no_entry_is_refused(body: str) -> None:
    changed = copy.deepcopy(BUNDLE)
    changed["receipts"][0]["body"] = body
    assert check(changed).broken is Link.BODY


def test_hostile_texts_do_not_reach_the_terminal() -> None:
    changed = copy.deepcopy(BUNDLE)
    body = json.loads(changed["receipts"][0]["body"]) | {
        "receipt_id": "\x1b[2J",
        "cost_usd": "\x1b[2J",
        "organisation": "\x1b[2J",
        "type": "\x1b[2J",
    }
    changed["receipts"][0]["body"] = canonical(body).decode()
    changed["receipts"][0]["proof"] = "\x1b[2J"
    changed["anchors"][0]["chain"]["tx_hash"] = "\x1b[2J"
    report = check(changed)
    assert all(item.sentence.isprintable() and item.subject.isprintable() for item in report.checks)
    assert Link.BODY in links(report, Status.FAILED)


def test_a_receipt_that_the_log_has_at_another_place_than_it_says_is_refused() -> None:
    log = sample_log(3)
    misplaced = replace(LOG.entries[4], seq=3)  # its body says 4
    log.append(misplaced)
    report = check(sample_bundle(log, 3))
    assert (report.broken, links(report, Status.FAILED)) == (Link.INCLUSION, {Link.INCLUSION})


def test_an_anchor_on_another_chain_than_the_statement_names_does_not_do() -> None:
    changed = copy.deepcopy(BUNDLE)
    changed["anchors"][0]["chain"]["chain_id"] = 4217
    assert check(changed).broken is Link.MEMO


def test_an_entry_of_another_version_is_refused() -> None:
    changed = copy.deepcopy(BUNDLE)
    changed["receipts"][0]["body"] = canonical(json.loads(changed["receipts"][0]["body"]) | {"version": 2}).decode()
    report = check(changed)
    assert report.broken is Link.BODY
    assert any("this release reads version 1" in item.sentence for item in report.checks)


def test_a_disclosure_cannot_take_the_name_of_a_member_of_the_receipt() -> None:
    commitment = commit("cost_usd", "0.01")
    changed = copy.deepcopy(BUNDLE)
    body = json.loads(changed["receipts"][0]["body"]) | {"_sd": [commitment.digest]}
    changed["receipts"][0]["body"] = canonical(body).decode()
    changed["receipts"][0]["disclosures"] = [commitment.disclosure]
    assert Link.DISCLOSURES in links(check(changed), Status.FAILED)


@pytest.mark.parametrize("kind", ["session-receipt", "something-new"])
@pytest.mark.parametrize("digests", [[{}], [["x"]], [1], 5, "x", {"x": 1}], ids=str)
def test_digests_that_are_no_texts_are_refused(kind: str, digests: Any) -> None:
    changed = copy.deepcopy(BUNDLE)
    body = json.loads(changed["receipts"][0]["body"]) | {"type": kind, "_sd": digests}
    changed["receipts"][0]["body"] = canonical(body).decode()
    report = check(changed)
    assert links(report, Status.FAILED) & {Link.BODY, Link.DISCLOSURES}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"note": "paid"}, "has 'note'"),
        ({"department": 5}, "'department'"),
        ({"_sd_alg": "x" * 65_536}, "at most 65536"),
    ],
    ids=["a member more", "another type", "too long"],
)
def test_a_body_that_is_not_as_its_type_says_is_refused(change: dict[str, Any], said: str) -> None:
    changed = copy.deepcopy(BUNDLE)
    body = json.loads(changed["receipts"][0]["body"]) | change
    changed["receipts"][0]["body"] = canonical(body).decode()
    [found] = [item for item in check(changed).checks if item.link is Link.BODY]
    assert found.status is Status.FAILED
    assert said in found.sentence


@pytest.mark.parametrize("name", ["department", "project", "client", "routing"])
def test_a_member_that_is_null_is_still_there(name: str) -> None:
    changed = copy.deepcopy(BUNDLE)
    body = json.loads(changed["receipts"][0]["body"])
    del body[name]
    changed["receipts"][0]["body"] = canonical(body).decode()
    assert Link.BODY in links(check(changed), Status.FAILED)


def test_what_an_entry_of_an_unknown_type_says_is_not_checked_and_its_place_is() -> None:
    log = sample_log(2)
    body = canonical(json.loads(log.entries[1].body) | {"type": "something-new", "seq": 2, "prev": log.prev.hex()})
    log.append(replace(log.entries[1], seq=2, body=body, leaf_hash=leaf_hash(body)))
    report = check(sample_bundle(log, 2))
    assert report.broken is None
    assert {Link.BODY} < links(report, Status.NOT_CHECKED)
    assert Link.INCLUSION in links(report, Status.OK)
