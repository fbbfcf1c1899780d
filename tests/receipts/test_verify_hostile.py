"""Whatever a bundle holds, verifying it ends in a report: an auditor's command never ends in a traceback."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p402.receipts import (
    BundledAnchor,
    BundledConsistency,
    BundledReceipt,
    ChainReader,
    Link,
    Outcome,
    SealedReceipt,
    Status,
    Trust,
    consistency_proof,
    format_proof,
    inclusion_proof,
    make_bundle,
    verify,
)
from p402.receipts.cli import main
from support.sample_entries import NEW, OLD, log_of_every_type, signed
from support.sample_log import SAMPLE_ANCHOR, answering_node, chain_answers, sample_statement

LOG = log_of_every_type()
SIZE = len(LOG.entries)
NOTE = signed(LOG, SIZE)
STATEMENT = sample_statement(LOG)
NINES = int("9" * 4300)
"""As long as Python reads a number; of twice as much it writes none."""


def whole_log() -> dict[str, Any]:
    """A bundle of version 2 that has everything a bundle can have."""
    return make_bundle(
        [
            BundledReceipt(
                body=entry.body,
                disclosures=entry.disclosures if isinstance(entry, SealedReceipt) else (),
                proof=format_proof(entry.seq, inclusion_proof(entry.seq, SIZE, LOG.get), NOTE),
                anchor=0,
            )
            for entry in LOG.entries
        ],
        [BundledAnchor.of(STATEMENT, SAMPLE_ANCHOR)],
        checkpoints=[NOTE],
        consistency=[BundledConsistency.of(3, SIZE, consistency_proof(3, SIZE, LOG.get))],
        whole=(0, SIZE - 1),
    )


BUNDLE = whole_log()
Place = tuple[str | int, ...]


def places(value: Any, path: Place = ()) -> Iterator[Place]:
    """Every place in a bundle, also in the JSON that travels as text."""
    if isinstance(value, str) and path and path[-1] in ("body", "statement"):
        value = json.loads(value)
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, name)
        yield from places(item, (*path, name))


def put(value: Any, path: Place, change: Any) -> Any:
    """Change what stands at a place; MISSING takes it away."""
    name, *rest = path
    if isinstance(value, str):
        inside = put(json.loads(value), path, change)
        return json.dumps(inside, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if rest:
        value[name] = put(value[name], tuple(rest), change)
    elif change is MISSING:
        del value[name]
    else:
        value[name] = change
    return value


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = [{"x": value}]
    return value


MISSING = object()
PLACES = list(places(BUNDLE))
OTHERS = [
    *(MISSING, None, True, 0, -1, 2**53 - 1, 2**53, -(2**53), 2**64, NINES, -NINES, 1.5, float("inf"), float("nan")),
    *("", "-", "0", "9" * 5000, "1e9", "\ud800", "\x00", "\x1b[2J", "é" * 300, "\u0661", "999999999999.999999999"),
    *("0001-01-01T00:00:00.000+23:59", "9999-12-31T23:59:59.999-23:59", "0000-00-00", "2026-11-23T09:00:00.000Z"),
    *("a\n9999999999999999999\n\n", "\u2014 x AAAA\n", "c2sp.org/tlog-proof@v1\nindex 9999999999999999999\n\n"),
    *([], [[]], [None], {}, {"x": 1}, [{}] * 200, nested(20), nested(200)),
]


@pytest.fixture(scope="module")
def trust() -> Iterator[Trust]:
    with answering_node(chain_answers(STATEMENT)) as url:
        keys = OLD.verifier_key, NEW.verifier_key
        yield Trust(keys, ChainReader(url), checkpoints=(LOG.checkpoint(3),), complete=True)


def test_the_bundle_is_good_until_it_is_changed(trust: Trust) -> None:
    assert verify(json.dumps(BUNDLE).encode(), trust).outcome is Outcome.VERIFIED


AT_START, AT_END = ("anchors", 0, "statement", "period", 0), ("anchors", 0, "statement", "period", 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(OTHERS)), min_size=1, max_size=3))
@example([(AT_START, "0001-01-01T00:00:00.000+23:59")])
@example([(AT_END, "9999-12-31T23:59:59.999-23:59")])
@example([(("range", "first"), -NINES), (("range", "last"), NINES)])
def test_whatever_is_changed_is_reported(trust: Trust, changes: list[tuple[Place, Any]]) -> None:
    bundle = copy.deepcopy(BUNDLE)
    for path, change in changes:
        try:
            bundle = put(bundle, path, change)
        except (LookupError, TypeError, ValueError):  # the change before took this place away
            continue
    try:
        text = bundle["anchors"][0]["statement"]
        bundle["anchors"][0]["chain"]["memo"] = hashlib.sha256(text.encode()).hexdigest()  # as a forger would see to it
    except (LookupError, TypeError, AttributeError, ValueError):
        pass  # it has no anchor any more, or another thing there
    json.dumps(verify(json.dumps(bundle).encode(), trust).to_json())


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode), st.integers(0, len(json.dumps(BUNDLE))))
def test_a_file_that_is_cut_or_has_something_in_it_is_reported(trust: Trust, noise: bytes, place: int) -> None:
    data = json.dumps(BUNDLE).encode()
    for damaged in (noise, data[:place] + noise, data[:place] + noise + data[place:]):
        json.dumps(verify(damaged, trust).to_json())


@pytest.mark.parametrize(
    "address", ["http://[", "http://", "https://node:port", "https://a node", "http://n\u00f6de", "node:8545"]
)
def test_a_wrong_address_of_a_node_is_an_error_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps(BUNDLE))
    with pytest.raises(SystemExit) as ended:
        main([str(file), "--key", OLD.verifier_key, "--rpc", address])
    assert ended.value.code == 2
    assert "The address of a chain's node is https:// or http://, a host" in capsys.readouterr().err


def test_a_size_after_a_key_that_no_log_has_is_an_error_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "acme.vkey"
    file.write_text(f"{OLD.verifier_key} 1 {'9' * 5000}")
    with pytest.raises(SystemExit) as ended:
        main([str(file), "--key", str(file)])
    assert ended.value.code == 2
    assert "is not a key, with or without the sizes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "name", "number"),
    [
        ("eth_getTransactionReceipt", "blockNumber", "0x" + "f" * 5000),
        ("eth_getBlockByNumber", "number", "0x" + "f" * 5000),
        ("eth_getBlockByNumber", "timestamp", hex(2**53 - 1)),
    ],
)
def test_a_node_with_absurd_numbers_is_reported(method: str, name: str, number: str) -> None:
    answers = chain_answers(STATEMENT)
    answers[method][name] = number
    bundle = copy.deepcopy(BUNDLE)
    if name == "timestamp":
        bundle["anchors"][0]["chain"]["block_timestamp"] = int(number, 16)
    with answering_node(answers) as url:
        report = verify(json.dumps(bundle).encode(), Trust((NEW.verifier_key,), ChainReader(url)))
    assert [check.status is Status.OK for check in report.checks if check.link is Link.ANCHOR] == [False]
