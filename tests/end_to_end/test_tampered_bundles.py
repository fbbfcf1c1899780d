"""What becomes of a bundle that somebody tampers with, or of a log that was forked or cut: each is found, and named.

``pytest -s`` prints the table.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from p402.receipts import Signer, parse_checkpoint
from p402.receipts.cli import main as p402_verify
from support.sample_log import answering_node, chain_answers, fixed_signer
from support.tampered_log import ANCHORED, SIZE, Table, cheaper, held, log, original, table
from support.tampering import Held, rechained, statement_of

__all__ = ["log", "original", "table"]


@pytest.fixture(scope="module")
def honest(original: Path) -> dict[str, Any]:
    """The whole log in a bundle, for an auditor who pinned its checkpoint of five entries."""
    return held(original).bundle(pinned=5, anchored=ANCHORED)


@pytest.fixture(scope="module")
def pinned(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("auditor") / "pinned.txt"
    with held(original).sql() as sql:
        [(note,)] = sql.execute("SELECT note FROM checkpoints WHERE size = 5").fetchall()
    file.write_text(note)
    return file


@pytest.fixture(scope="module")
def node(original: Path) -> Iterator[str]:
    """A chain that has the anchor."""
    with held(original).sql() as sql:
        [(note,)] = sql.execute("SELECT note FROM checkpoints WHERE size = 4").fetchall()
    with answering_node(chain_answers(statement_of(parse_checkpoint(note)))) as url:
        yield url


@pytest.fixture
def verified(
    original: Path, pinned: Path, node: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Check a bundle as an auditor does who pinned a key and a checkpoint."""

    def verify(bundle: dict[str, Any], *, checkpoint: Path | None = pinned) -> dict[str, Any]:
        file = tmp_path / "bundle.json"
        file.write_text(json.dumps(bundle))
        arguments = [str(file), "--key", held(original).key.verifier_key, "--rpc", node, "--complete", "--json"]
        capsys.readouterr()
        code = p402_verify([*arguments, *([] if checkpoint is None else ["--checkpoint", str(checkpoint)])])
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert code == {"verified": 0, "failed": 1, "incomplete": 3}[report["outcome"]]
        return report

    return verify


def test_an_honest_bundle_says_what_is_not_anchored_yet(
    honest: dict[str, Any], verified: Callable[..., dict[str, Any]], table: Table
) -> None:
    report = verified(honest)
    assert (report["outcome"], report["broken"]) == ("incomplete", None)
    unchecked = [check for check in report["checks"] if check["status"] == "not_checked"]
    assert {check["link"] for check in unchecked} == {"anchor"}
    assert len(unchecked) == SIZE - ANCHORED
    assert all(check["sentence"].startswith("Not yet anchored") for check in unchecked)
    table.append(("bundle", "nothing; its tail is not anchored yet", "incomplete: anchor not checked"))


def swap_bodies(bundle: dict[str, Any]) -> None:
    first, second = bundle["receipts"][1], bundle["receipts"][2]
    first["body"], second["body"] = second["body"], first["body"]


def swap_receipts(bundle: dict[str, Any]) -> None:
    bundle["receipts"][1], bundle["receipts"][2] = bundle["receipts"][2], bundle["receipts"][1]


def swap_proofs(bundle: dict[str, Any]) -> None:
    first, second = bundle["receipts"][1], bundle["receipts"][2]
    first["proof"], second["proof"] = second["proof"], first["proof"]


def edit(bundle: dict[str, Any]) -> None:
    bundle["receipts"][2]["body"] = bundle["receipts"][2]["body"].replace("0.264235", "0.164235")


def leave_out(bundle: dict[str, Any]) -> None:
    del bundle["receipts"][2]


def leave_out_and_say_so(bundle: dict[str, Any]) -> None:
    """Say that the range ends earlier."""
    del bundle["receipts"][2]
    bundle["range"]["last"] -= 1


def put_in(bundle: dict[str, Any]) -> None:
    bundle["receipts"].insert(3, copy.deepcopy(bundle["receipts"][2]))


BUNDLE: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("edit an entry", edit, "inclusion"),
    ("delete an entry", leave_out, "complete"),
    ("delete an entry, and shorten the range", leave_out_and_say_so, "complete"),
    ("reorder entries", swap_receipts, "complete"),
    ("exchange two bodies", swap_bodies, "inclusion"),
    ("insert an entry", put_in, "complete"),
    ("swap two proofs", swap_proofs, "inclusion"),
    ("swap the hashes of a proof", lambda it: swap_lines(it["receipts"][2]), "inclusion"),
    ("claim another size", lambda it: replace_in(it["receipts"][2], "proof", "\n8\n", "\n9\n"), "checkpoint"),
    ("claim an anchor for the tail", lambda it: it["receipts"][6].update(anchor=0), "statement"),
    ("change the settlement", lambda it: replace_in(it["anchors"][0], "statement", "stl_1", "stl_2"), "memo"),
    ("another proof of consistency", lambda it: it["consistency"][1].update(hashes=["00" * 32]), "consistency"),
]


def swap_lines(receipt: dict[str, Any]) -> None:
    lines = receipt["proof"].split("\n")
    lines[2], lines[3] = lines[3], lines[2]
    receipt["proof"] = "\n".join(lines)


def replace_in(value: dict[str, Any], name: str, old: str, new: str) -> None:
    assert old in value[name]
    value[name] = value[name].replace(old, new, 1)


@pytest.mark.parametrize(("what", "tamper", "named"), BUNDLE, ids=[row[0] for row in BUNDLE])
def test_a_bundle_that_was_tampered_with(
    honest: dict[str, Any],
    verified: Callable[..., dict[str, Any]],
    table: Table,
    what: str,
    tamper: Callable[[dict[str, Any]], object],
    named: str,
) -> None:
    bundle = copy.deepcopy(honest)
    tamper(bundle)
    report = verified(bundle)
    table.append(("bundle", what, f"FAILED: {report['broken']}"))
    assert (report["outcome"], report["broken"]) == ("failed", named)


@pytest.mark.parametrize(
    ("what", "bodies", "named"),
    [
        ("fork the log, sign with its key", lambda found: rechained(found, cheaper), "consistency"),
        (
            "delete an entry from the log, sign with its key",
            lambda found: rechained(found, lambda entries: entries.pop(1)),
            "consistency",
        ),
    ],
)
def test_a_bundle_of_a_log_that_was_forked_by_whoever_has_its_key(
    log: Held,
    verified: Callable[..., dict[str, Any]],
    table: Table,
    what: str,
    bodies: Callable[[list[bytes]], list[bytes]],
    named: str,
) -> None:
    log.rewrite(bodies(log.bodies()), signer=log.key)
    report = verified(log.bundle(pinned=5, anchored=ANCHORED))
    table.append(("bundle", what, f"FAILED: {report['broken']}"))
    assert (report["outcome"], report["broken"]) == ("failed", named)


def test_a_bundle_of_a_forked_log_is_found_by_its_anchor_alone(
    log: Held, verified: Callable[..., dict[str, Any]], table: Table
) -> None:
    log.rewrite(rechained(log.bodies(), cheaper), signer=log.key)
    report = verified(log.bundle(anchored=ANCHORED), checkpoint=None)
    table.append(("bundle", "fork the log, sign with its key; nothing pinned", f"FAILED: {report['broken']}"))
    assert (report["outcome"], report["broken"]) == ("failed", "consistency")


def test_a_bundle_that_was_signed_again_with_another_key(
    log: Held, verified: Callable[..., dict[str, Any]], table: Table
) -> None:
    stranger: Signer = fixed_signer(origin=log.key.origin)
    log.rewrite(rechained(log.bodies(), cheaper), signer=stranger)
    report = verified(log.bundle(pinned=5, anchored=ANCHORED))
    table.append(("bundle", "fork the log, sign with another key", f"FAILED: {report['broken']}"))
    assert (report["outcome"], report["broken"]) == ("failed", "checkpoint")


def test_a_fork_without_a_proof_is_not_called_verified(
    log: Held, verified: Callable[..., dict[str, Any]], table: Table
) -> None:
    """It has no proof from the pinned checkpoint, so it leaves it out; that is noticed too."""
    log.rewrite(rechained(log.bodies(), lambda entries: cheaper(entries, 5)), signer=log.key)
    report = verified(log.bundle())
    table.append(("bundle", "fork the log, leave the proof out", f"{report['outcome']}: consistency not checked"))
    assert report["outcome"] == "incomplete"
    unchecked = {check["link"] for check in report["checks"] if check["status"] == "not_checked"}
    assert "consistency" in unchecked


def test_a_log_that_was_cut_is_not_called_verified(
    log: Held, verified: Callable[..., dict[str, Any]], table: Table
) -> None:
    """It may as well be a bundle from before the pinned checkpoint; only the log's operator can tell, by a proof."""
    log.rewrite(log.bodies()[:ANCHORED], signer=log.key)
    report = verified(log.bundle(pinned=5, anchored=ANCHORED))
    table.append(
        ("bundle", "cut the log before the pinned checkpoint", f"{report['outcome']}: consistency not checked")
    )
    assert report["outcome"] == "incomplete"
    assert unchecked_consistency(report)[-1].startswith("You pinned a log of 5 entries")


def test_two_branches_of_a_fork_with_proofs_from_where_they_part_are_not_called_one_log(
    log: Held, verified: Callable[..., dict[str, Any]], table: Table, tmp_path: Path
) -> None:
    """Both begin with the entries before the fork; the auditor kept a state of the one and is shown the other."""
    kept = tmp_path / "kept.txt"
    kept.write_text(log.checkpoint())
    first = log.bundle(pinned=5)
    extra = [*log.bodies(), *log.bodies()[-2:]]
    log.rewrite(rechained(extra, lambda entries: cheaper(entries, 5)), signer=log.key)
    bundle = log.bundle(pinned=5)
    bundle["consistency"] += first["consistency"]
    with log.sql() as sql:
        bundle["checkpoints"] += [*sql.execute("SELECT note FROM checkpoints WHERE size = 5").fetchone()]
    report = verified(bundle, checkpoint=kept)
    table.append(
        ("bundle", "fork the log, prove both branches from before", f"{report['outcome']}: consistency not checked")
    )
    assert report["outcome"] == "incomplete"
    assert len(unchecked_consistency(report)) == 2


def unchecked_consistency(report: dict[str, Any]) -> list[str]:
    return [it["sentence"] for it in report["checks"] if (it["link"], it["status"]) == ("consistency", "not_checked")]
