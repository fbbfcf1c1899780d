"""An anchor is what a finalized block of the chain says, of exactly this transfer, or it is refuted or left unchecked."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from p402.receipts import (
    ChainReader,
    Link,
    Outcome,
    Status,
    Trust,
)
from support.sample_log import (
    PAYER,
    TOKEN,
    answering_node,
    chain_answers,
    sample_bundle,
    sample_statement,
)
from support.verifying import BUNDLE, LOG, OFFLINE, answers, check, links, trust

__all__ = ["answers", "trust"]


@pytest.mark.parametrize("field", ["tx_hash", "block_number", "block_hash", "block_timestamp", "log_index"])
def test_every_changed_field_of_the_anchor_is_noticed_on_the_chain(trust: Trust, field: str) -> None:
    changed = copy.deepcopy(BUNDLE)
    value = changed["anchors"][0]["chain"][field]
    changed["anchors"][0]["chain"][field] = (
        value + 1 if isinstance(value, int) else value.replace("1", "2").replace("b", "c")
    )
    report = check(changed, trust)
    assert (report.outcome, report.broken) == (Outcome.FAILED, Link.ANCHOR)


def _node_says(path: str, value: Any, answers: dict[str, Any]) -> None:
    *way, last = path.split("/")
    target: Any = answers
    for step in way:
        target = target[int(step) if step.isdigit() else step]
    target[int(last) if last.isdigit() else last] = value


RECEIPT = "eth_getTransactionReceipt"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (RECEIPT, None),
        (f"{RECEIPT}/status", "0x0"),
        (f"{RECEIPT}/blockNumber", "0x63"),
        (f"{RECEIPT}/blockHash", "0x" + "00" * 32),
        (f"{RECEIPT}/logs", []),
        (f"{RECEIPT}/logs/0/address", "0x20c0000000000000000000000000000000000002"),
        (f"{RECEIPT}/logs/0/data", "0x" + "0" * 63 + "1"),
        (f"{RECEIPT}/logs/0/logIndex", "0x4"),
        (f"{RECEIPT}/logs/0/topics/0", "0x" + "00" * 32),
        (f"{RECEIPT}/logs/0/topics/1", "0x" + "00" * 32),
        (f"{RECEIPT}/logs/0/topics/2", "0x" + "00" * 32),
        (f"{RECEIPT}/logs/0/topics/3", "0x" + "00" * 32),
        ("eth_getBlockByNumber/hash", "0x" + "00" * 32),
        ("eth_getBlockByNumber/timestamp", "0x1"),
    ],
)
def test_what_the_chain_says_otherwise_breaks_the_anchor(
    trust: Trust, answers: dict[str, Any], path: str, value: Any
) -> None:
    _node_says(path, value, answers)
    report = check(BUNDLE, trust)
    assert (report.outcome, report.broken) == (Outcome.FAILED, Link.ANCHOR)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("eth_getBlockByNumber/number", "0x63"),  # finalized is the block before
        ("eth_getBlockByNumber", None),
        ("eth_getBlockByNumber", {}),
        ("eth_chainId", "0x1079"),  # it serves another chain
        ("eth_chainId", "many"),
        ("eth_chainId", b"<html>"),
        ("eth_chainId", b"[]"),
        ("eth_chainId", b'{"error":{"code":-32000}}'),
        (RECEIPT, {}),
        (RECEIPT, "0x"),
        (f"{RECEIPT}/logs", None),
        (f"{RECEIPT}/logs/0", {}),
    ],
)
def test_a_node_without_a_useful_answer_leaves_the_anchor_unchecked(
    trust: Trust, answers: dict[str, Any], path: str, value: Any
) -> None:
    _node_says(path, value, answers)
    report = check(BUNDLE, trust)
    assert (report.outcome, links(report, Status.NOT_CHECKED)) == (Outcome.INCOMPLETE, {Link.ANCHOR})


def test_a_node_that_is_away_leaves_the_anchor_unchecked() -> None:
    report = check(BUNDLE, replace(OFFLINE, rpc=ChainReader("http://127.0.0.1:9", timeout=1)))
    assert report.outcome is Outcome.INCOMPLETE


def test_a_pinned_payer_and_token_must_be_those_of_the_settlement(trust: Trust) -> None:
    assert check(BUNDLE, replace(trust, payer=PAYER, token=TOKEN)).outcome is Outcome.VERIFIED
    other = "0x" + "1" * 40
    assert check(BUNDLE, replace(trust, payer=other)).broken is Link.ANCHOR
    assert check(BUNDLE, replace(trust, token=other)).broken is Link.ANCHOR


def test_a_token_that_anybody_could_have_made_proves_nothing() -> None:
    statement = replace(sample_statement(LOG), token="0x" + "66" * 20)
    bundle = sample_bundle(LOG, 2)
    bundle["anchors"][0]["statement"] = statement.canonical().decode()
    bundle["anchors"][0]["chain"]["memo"] = statement.memo().hex()
    with answering_node(chain_answers(statement)) as url:
        assert check(bundle, replace(OFFLINE, rpc=ChainReader(url))).broken is Link.ANCHOR
