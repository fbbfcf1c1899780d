"""What becomes of a log that somebody tampers with, in the database or in a bundle: each is found, and named.

``pytest -s`` prints the table. The database is that of a real collector, stopped; the tampering is done to a copy of its
file. Some can write to the database, some can make all of it agree, and some have the signing key too.
"""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from p402.collector.cli import main as p402
from p402.collector.sessions.signing import LogSigners
from p402.receipts import Signer, parse_checkpoint
from p402.receipts.cli import main as p402_verify
from support.books import rows
from support.collector import RunningCollector, eventually, running_collector
from support.otlp import ASpan, request_of
from support.sample_log import answering_node, chain_answers, fixed_signer
from support.tampering import ORGANISATION, Held, rechained, statement_of

ANCHORED, SIZE = 4, 8
Table = list[tuple[str, str, str]]


def has_receipts(collector: RunningCollector, count: int) -> bool:
    return receipt_count(collector) == count


def receipt_count(collector: RunningCollector) -> int:
    return int(rows(collector.data_dir, "SELECT count(*) FROM receipts")[0][0])


def seal(collector: RunningCollector, *sessions: str) -> None:
    """Make a receipt of each, without reading through the API, since such reads become entries too."""
    for session in sessions:
        wanted = receipt_count(collector) + 1
        assert collector.export(request_of([ASpan.of({"p402.session": session})])).status_code == 200
        collector.post(f"/v1/sessions/{session}/close", organisation=ORGANISATION)
        eventually(partial(has_receipts, collector, wanted))


def held(folder: Path) -> Held:
    signers = LogSigners(folder / "keys" / "log.pem", "p402.local")
    return Held(folder / "p402.sqlite3", signers.signer(ORGANISATION).newest)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a collector with four anchored receipts, the settlement's entry, and three more receipts."""
    folder = tmp_path_factory.mktemp("collector")
    with running_collector(folder) as collector:
        seal(collector, "s1", "s2", "s3", "s4")
    held(folder).anchor(LogSigners(folder / "keys" / "log.pem", "p402.local").signer(ORGANISATION))
    with running_collector(folder) as collector:
        seal(collector, "s5", "s6", "s7")
    assert parse_checkpoint(held(folder).checkpoint()).size == SIZE
    return folder


@pytest.fixture
def log(original: Path, tmp_path: Path) -> Held:
    """A copy to tamper with."""
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    return held(folder)


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    found: Table = []
    yield found
    width = [max(len(row[column]) for row in found) for column in (0, 1)]
    lines = [f"{where:<{width[0]}}  {what:<{width[1]}}  {named}" for where, what, named in found]
    sys.stdout.write("\n\n" + "\n".join(lines) + "\n")


def faults(
    log: Held, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> list[str]:
    """What `p402 log check` names."""
    monkeypatch.setenv("P402_DATA_DIR", str(log.file.parent))
    capsys.readouterr()
    code = p402(["log", "check", "--json", "--organisation", ORGANISATION, *arguments])
    [report] = json.loads(capsys.readouterr().out)
    found = [finding["fault"] for finding in report["findings"]]
    assert code == (1 if found else 0)
    return found


# --- the database

Tamper = Callable[[sqlite3.Connection], object]


def change_amount(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE log_entries SET body = replace(CAST(body AS TEXT), '0.264235', '0.164235') WHERE seq = 2")
    sql.execute("UPDATE log_entries SET body = CAST(body AS BLOB) WHERE seq = 2")


def swap_entries(sql: sqlite3.Connection) -> None:
    bodies = dict(sql.execute("SELECT seq, body FROM log_entries WHERE seq IN (2, 3)").fetchall())
    sql.executemany("UPDATE log_entries SET body = ? WHERE seq = ?", [(bodies[3], 2), (bodies[2], 3)])


def insert_entry(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE log_entries SET seq = -1 - seq WHERE seq >= 3")
    sql.execute("UPDATE log_entries SET seq = -seq WHERE seq < 0")
    sql.execute("INSERT INTO log_entries SELECT organisation, 3, type, body FROM log_entries WHERE seq = 1")


def swap_nodes(sql: sqlite3.Connection) -> None:
    hashes = dict(sql.execute("SELECT position, hash FROM log_nodes WHERE level = 1 AND position < 2").fetchall())
    sql.executemany("UPDATE log_nodes SET hash = ? WHERE level = 1 AND position = ?", [(hashes[1], 0), (hashes[0], 1)])


DATABASE: list[tuple[str, Tamper, str]] = [
    ("edit an entry", change_amount, "changed entry"),
    ("delete an entry", lambda sql: sql.execute("DELETE FROM log_entries WHERE seq = 3"), "missing entry"),
    ("reorder two entries", swap_entries, "misplaced entry"),
    ("insert an entry", insert_entry, "misplaced entry"),
    (
        "append an entry",
        lambda sql: sql.execute(
            "INSERT INTO log_entries SELECT organisation, 8, type, body FROM log_entries WHERE seq = 7"
        ),
        "unsigned tail",
    ),
    ("cut the tail", lambda sql: sql.execute("DELETE FROM log_entries WHERE seq >= 6"), "cut tail"),
    ("swap nodes of the tree", swap_nodes, "wrong node"),
    (
        "delete nodes of the tree",
        lambda sql: sql.execute("DELETE FROM log_nodes WHERE level = 2"),
        "wrong node",
    ),
    (
        "exchange two checkpoints",
        lambda sql: sql.execute(
            "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 2) WHERE size = 3"
        ),
        "wrong checkpoint",
    ),
    (
        "delete the newest checkpoint",
        lambda sql: sql.execute("DELETE FROM checkpoints WHERE size = 8"),
        "unsigned tail",
    ),
    ("change a settlement", lambda sql: sql.execute("UPDATE settlements SET memo = zeroblob(32)"), "wrong settlement"),
    ("delete a settlement", lambda sql: sql.execute("DELETE FROM settlements"), "wrong settlement"),
    (
        "give a receipt another place",
        lambda sql: sql.execute("UPDATE receipts SET seq = 99 WHERE seq = 2"),
        "wrong receipt",
    ),
    ("change the table of keys", lambda sql: sql.execute("UPDATE log_keys SET vkey = 'mine'"), "wrong key"),
    ("change where the log ends", lambda sql: sql.execute("UPDATE logs SET size = 7"), "wrong node"),
]


def test_nothing_is_found_where_nobody_tampered(
    log: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text(log.checkpoint())
    assert faults(log, monkeypatch, capsys, "--checkpoint", str(kept)) == []


@pytest.mark.parametrize(("what", "tamper", "named"), DATABASE, ids=[row[0] for row in DATABASE])
def test_a_database_that_was_tampered_with(
    log: Held,
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    tamper: Tamper,
    named: str,
) -> None:
    with log.sql() as sql:
        sql.execute("PRAGMA foreign_keys = OFF")
        tamper(sql)
    found = faults(log, monkeypatch, capsys)
    table.append(("database", what, ", ".join(dict.fromkeys(found))))
    assert named in found


def cheaper(entries: list[dict[str, Any]], of: int = 2) -> None:
    [model] = entries[of]["models"]
    entries[of]["cost_usd"] = model["cost_usd"] = "0.000001"


@pytest.mark.parametrize(
    ("what", "signer", "alone", "kept"),
    [
        ("rewrite all, without a key", None, "wrong checkpoint", "fork"),
        ("rewrite all, sign with another key", "stranger", "wrong key", "fork"),
        ("rewrite all, sign with the key", "own", "fork", "fork"),
    ],
)
def test_a_database_that_agrees_with_itself(
    log: Held,
    tmp_path: Path,
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    signer: str | None,
    alone: str,
    kept: str,
) -> None:
    """Whoever has the key is found out by the settlement, or by a checkpoint that somebody kept."""
    checkpoint = tmp_path / "kept.txt"
    checkpoint.write_text(log.checkpoint())
    keys = {None: None, "own": log.key, "stranger": fixed_signer(origin=log.key.origin)}
    log.rewrite(rechained(log.bodies(), cheaper), signer=keys[signer])
    found = faults(log, monkeypatch, capsys)
    pinned = faults(log, monkeypatch, capsys, "--checkpoint", str(checkpoint))
    table.append(("database", what, f"{', '.join(found)}; with a kept checkpoint: {', '.join(pinned)}"))
    assert alone in found
    assert kept in pinned


@pytest.mark.parametrize(
    ("what", "size", "alone"),
    [
        ("cut the tail everywhere, behind the anchor", SIZE - 2, []),
        ("cut the tail everywhere, before the anchor", ANCHORED - 1, ["cut tail", "wrong settlement"]),
    ],
)
def test_a_tail_that_was_cut_without_a_trace(
    log: Held,
    tmp_path: Path,
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    size: int,
    alone: list[str],
) -> None:
    """What is behind the last anchor can only be missed by whoever kept a checkpoint of it."""
    checkpoint = tmp_path / "kept.txt"
    checkpoint.write_text(log.checkpoint())
    log.rewrite(log.bodies()[:size], signer=None)
    found = faults(log, monkeypatch, capsys)
    pinned = faults(log, monkeypatch, capsys, "--checkpoint", str(checkpoint))
    shown = ", ".join(found) or "nothing (not anchored yet)"
    table.append(("database", what, f"{shown}; with a kept checkpoint: {', '.join(pinned)}"))
    assert found == alone
    assert "cut tail" in pinned


# --- the bundle


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
