"""Several states of a log: that they are one log, a pinned one, whole ranges, and keys that were replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from p402.receipts import (
    BundledAnchor,
    BundledConsistency,
    BundledReceipt,
    ChainReader,
    Checkpoint,
    EntryPlace,
    Link,
    Outcome,
    PinnedKey,
    Report,
    RotationReason,
    SealedReceipt,
    Signer,
    Status,
    Trust,
    consistency_proof,
    format_proof,
    inclusion_proof,
    key_rotation_entry,
    make_bundle,
    sign_checkpoint,
    verify,
)
from support.sample_log import (
    NINE,
    SAMPLE_ANCHOR,
    SampleLog,
    answering_node,
    chain_answers,
    fixed_signer,
    sample_charge,
    sample_log,
    sample_statement,
)

OLD, NEW, THIRD = fixed_signer(), fixed_signer("successor"), fixed_signer("third")
OFFLINE = Trust((OLD.verifier_key,))


def forked_log(size: int, changed: int) -> SampleLog:
    """A log whose entries differ from the sample's from one on."""
    log = sample_log(changed)
    for number in range(changed, size):
        log.add_receipt(sample_charge(number + 100))
    return log


def proofs(log: SampleLog, *pairs: tuple[int, int]) -> list[BundledConsistency]:
    return [BundledConsistency.of(old, new, consistency_proof(old, new, log.get)) for old, new in pairs]


def items(log: SampleLog, *indexes: int, anchor: int | None = None, size: int | None = None) -> list[BundledReceipt]:
    size = size or len(log.entries)
    note = sign_checkpoint(log.checkpoint(size), [OLD])
    return [
        BundledReceipt(
            body=log.entries[index].body,
            proof=format_proof(index, inclusion_proof(index, size, log.get), note),
            anchor=anchor,
        )
        for index in indexes
    ]


def check(bundle: dict[str, Any], trust: Trust = OFFLINE) -> Report:
    return verify(json.dumps(bundle).encode(), trust)


def found(report: Report, link: Link) -> list[tuple[Status, str]]:
    return [(item.status, item.sentence) for item in report.checks if item.link is link]


@pytest.fixture
def node() -> Iterator[Callable[[SampleLog], Trust]]:
    """A chain that has the anchor of a log's newest checkpoint."""
    answers: dict[str, Any] = {}
    with answering_node(answers) as url:

        def anchored(log: SampleLog) -> Trust:
            answers.update(chain_answers(sample_statement(log)))
            return replace(OFFLINE, rpc=ChainReader(url, timeout=5))

        yield anchored


def test_a_pinned_checkpoint_that_the_log_begins_with_holds() -> None:
    log = sample_log(9)
    pinned = replace(OFFLINE, checkpoints=(log.checkpoint(5),))
    report = check(make_bundle(items(log, 7), [], consistency=proofs(log, (5, 9))), pinned)
    assert report.broken is None
    assert [status for status, _ in found(report, Link.CONSISTENCY)] == [Status.OK, Status.OK]


def test_without_a_proof_a_pinned_checkpoint_is_not_checked() -> None:
    log = sample_log(9)
    for bundle in (make_bundle(items(log, 7), []), make_bundle(items(log, 7), [], whole=(7, 7))):
        report = check(bundle, replace(OFFLINE, checkpoints=(log.checkpoint(5),)))
        assert report.outcome is Outcome.INCOMPLETE
        assert any("/v1/consistency?from=5&to=9" in sentence for _, sentence in found(report, Link.CONSISTENCY))


@pytest.mark.parametrize("changed", [0, 2, 4])
def test_a_fork_is_found_by_a_pinned_checkpoint(changed: int) -> None:
    """Whoever holds the key can sign another history; it has no proof from the pinned one."""
    log, forked = sample_log(5), forked_log(9, changed)
    pinned = replace(OFFLINE, checkpoints=(log.checkpoint(),))
    for honest in (log, forked):
        hashes = proofs(forked, (5, 9)) if honest is forked else proofs(sample_log(9), (5, 9))
        report = check(make_bundle(items(forked, 7), [], consistency=hashes), pinned)
        assert report.broken is Link.CONSISTENCY
    same_size = check(make_bundle(items(forked_log(5, changed), 1), []), pinned)
    assert same_size.broken is Link.CONSISTENCY
    assert "forked" in found(same_size, Link.CONSISTENCY)[0][1]


def fork_at_seven_and_nine() -> tuple[dict[str, Any], SampleLog]:
    """A bundle of two states that only share an ancestor, each with an honest proof from it; and the first one's log."""
    log, forked = sample_log(9), forked_log(9, 6)
    ties = [*proofs(log, (5, 7)), *proofs(forked, (5, 9))]
    early = [sign_checkpoint(log.checkpoint(size), [OLD]) for size in (5, 7)]
    return make_bundle(items(forked, 1, 8), [], checkpoints=early, consistency=ties), log


def test_two_states_that_share_only_an_earlier_one_are_not_one_log(node: Callable[[SampleLog], Trust]) -> None:
    bundle, log = fork_at_seven_and_nine()
    for pins in ((), (log.checkpoint(5),), (log.checkpoint(7),)):
        report = check(bundle, replace(OFFLINE, checkpoints=pins))
        assert report.outcome is Outcome.INCOMPLETE
        assert found(report, Link.CONSISTENCY)[0][0] is Status.NOT_CHECKED
    assert all(status is Status.NOT_CHECKED for status, _ in found(report, Link.CONSISTENCY))
    early = sample_log(7)
    anchors = [BundledAnchor.of(sample_statement(early), SAMPLE_ANCHOR)]
    forked = forked_log(9, 6)
    ties = [*proofs(log, (5, 7)), *proofs(forked, (5, 9))]
    five = sign_checkpoint(log.checkpoint(5), [OLD])
    anchored = make_bundle(items(forked, 1, 6, anchor=0), anchors, checkpoints=[five], consistency=ties)
    assert check(anchored, node(early)).broken is Link.STATEMENT


def test_two_states_that_share_a_later_one_are_one_log() -> None:
    log = sample_log(9)
    notes = [sign_checkpoint(log.checkpoint(size), [OLD]) for size in (5, 7)]
    bundle = make_bundle(items(log, 1), [], checkpoints=notes, consistency=proofs(log, (5, 9), (7, 9)))
    report = check(bundle, replace(OFFLINE, checkpoints=(log.checkpoint(5), log.checkpoint(7))))
    assert [status for status, _ in found(report, Link.CONSISTENCY)] == [Status.OK] * 3


def test_a_proof_between_logs_of_two_names_ties_nothing() -> None:
    log = sample_log(9)
    other = replace(log.checkpoint(5), origin="receipts.example.com/org/other")
    bundle = make_bundle(items(log, 7), [], consistency=proofs(log, (5, 9)))
    assert check(bundle, replace(OFFLINE, checkpoints=(other,))).broken is Link.CONSISTENCY


def test_a_bundle_of_version_1_hides_no_fork() -> None:
    """Its two states have no proof, and one of them is the pinned one."""
    log, forked = sample_log(5), forked_log(9, 3)
    bundle = make_bundle([*items(log, 1), *items(forked, 7)], [])
    assert bundle["format"] == "p402-bundle/1"
    for pins in ((), (log.checkpoint(),)):
        report = check(bundle, replace(OFFLINE, checkpoints=pins))
        assert report.outcome is Outcome.INCOMPLETE
        assert all(status is Status.NOT_CHECKED for status, _ in found(report, Link.CONSISTENCY))
        assert len(found(report, Link.CONSISTENCY)) == 1 + len(pins)


def test_a_bundle_that_is_older_than_the_pinned_checkpoint_says_how_to_compare_them() -> None:
    log = sample_log(9)
    pins = replace(OFFLINE, checkpoints=(log.checkpoint(9),))
    cut = check(make_bundle(items(log, 3, size=6), []), pins)
    assert cut.outcome is Outcome.INCOMPLETE
    [_, (status, sentence)] = found(cut, Link.CONSISTENCY)
    assert status is Status.NOT_CHECKED
    assert "older than your checkpoint, or the log was cut" in sentence
    assert "/v1/consistency?from=6&to=9" in sentence
    contradicted = check(make_bundle(items(log, 3, size=6), [], consistency=proofs(forked_log(9, 2), (6, 9))), pins)
    assert contradicted.broken is Link.CONSISTENCY
    older = make_bundle(items(log, 3, size=6), [], consistency=proofs(log, (6, 9)))
    assert check(older, replace(OFFLINE, checkpoints=(log.checkpoint(9),))).broken is None


def test_a_checkpoint_of_another_log_is_refused() -> None:
    log = sample_log(5)
    other = Checkpoint("receipts.example.com/org/other", 5, log.checkpoint().root)
    assert check(make_bundle(items(log, 1), []), replace(OFFLINE, checkpoints=(other,))).broken is Link.CONSISTENCY


def test_an_earlier_anchor_covers_what_it_already_had(node: Callable[[SampleLog], Trust]) -> None:
    log, early = sample_log(9), sample_log(5)
    anchors = [BundledAnchor.of(sample_statement(early), SAMPLE_ANCHOR)]
    tied = make_bundle(items(log, 1, 4, anchor=0), anchors, consistency=proofs(log, (5, 9)))
    assert check(tied, node(early)).outcome is Outcome.VERIFIED
    untied = make_bundle(items(log, 1, anchor=0), anchors, consistency=proofs(log, (4, 9)))
    assert check(untied, node(early)).broken is Link.STATEMENT
    later = make_bundle(items(log, 5, anchor=0), anchors, consistency=proofs(log, (5, 9)))
    assert check(later, node(early)).broken is Link.STATEMENT


def test_a_fork_is_found_by_an_anchor(node: Callable[[SampleLog], Trust]) -> None:
    anchored, forked = sample_log(5), forked_log(9, 3)
    anchors = [BundledAnchor.of(sample_statement(anchored), SAMPLE_ANCHOR)]
    bundle = make_bundle(items(forked, 1, anchor=0), anchors, consistency=proofs(forked, (5, 9)))
    assert check(bundle, node(anchored)).broken is Link.CONSISTENCY


def test_states_that_no_proof_ties_are_not_called_one_log() -> None:
    log = sample_log(9)
    newest = sign_checkpoint(log.checkpoint(), [OLD])
    report = check(make_bundle(items(log, 3, size=6), [], checkpoints=[newest]))
    assert [status for status, _ in found(report, Link.CONSISTENCY)] == [Status.NOT_CHECKED]
    tied = check(make_bundle(items(log, 3, size=6), [], checkpoints=[newest], consistency=proofs(log, (6, 9))))
    assert [status for status, _ in found(tied, Link.CONSISTENCY)] == [Status.OK]
    unsigned = sign_checkpoint(log.checkpoint(), [fixed_signer("stranger")])
    assert check(make_bundle(items(log, 3), [], checkpoints=[unsigned])).broken is Link.CHECKPOINT


def test_a_whole_range_is_complete() -> None:
    log = sample_log(9)
    report = check(make_bundle(items(log, 2, 3, 4), [], whole=(2, 4)))
    sentence = "Entries 2 to 4 are all here, and each names the one before it. The signed log has 9 entries."
    assert found(report, Link.COMPLETE) == [(Status.OK, sentence)]
    assert [len(found(report, link)) for link in (Link.BODY, Link.INCLUSION)] == [3, 3]


@pytest.mark.parametrize(
    ("indexes", "whole"),
    [([2, 4], (2, 4)), ([2, 3], (2, 4)), ([2, 4, 3], (2, 4)), ([3, 4, 5], (2, 4)), ([2, 2, 3], (2, 4)), ([2], (3, 2))],
)
def test_a_range_with_a_gap_is_not_complete(indexes: list[int], whole: tuple[int, int]) -> None:
    assert check(make_bundle(items(sample_log(9), *indexes), [], whole=whole)).broken is Link.COMPLETE


def test_a_range_must_begin_with_the_first_entry_where_it_says_so() -> None:
    log = sample_log(3)
    cut = SampleLog()
    for entry in log.entries[1:]:
        cut.append(entry)
    assert check(make_bundle(items(cut, 0, 1), [], whole=(0, 1))).broken is not None


def test_a_selection_is_not_complete_when_the_auditor_asks_for_that() -> None:
    bundle = make_bundle(items(sample_log(9), 2, 3), [])
    assert found(check(bundle), Link.COMPLETE) == []
    report = check(bundle, replace(OFFLINE, complete=True))
    assert [status for status, _ in found(report, Link.COMPLETE)] == [Status.NOT_CHECKED]


@pytest.mark.parametrize(
    ("first", "pins", "status"),
    [
        (5, (5,), Status.OK),
        (3, (5,), Status.OK),
        (6, (5,), Status.NOT_CHECKED),
        (6, (5, 7), Status.OK),
        (6, (), Status.OK),
    ],
)
def test_a_range_has_no_gap_to_what_the_auditor_pinned(first: int, pins: tuple[int, ...], status: Status) -> None:
    log = sample_log(9)
    trust = replace(OFFLINE, checkpoints=tuple(map(log.checkpoint, pins)), complete=True)
    ties = proofs(log, *((size, 9) for size in pins))
    report = check(make_bundle(items(log, *range(first, 9)), [], consistency=ties, whole=(first, 8)), trust)
    [(is_status, sentence)] = found(report, Link.COMPLETE)
    assert is_status is status
    if status is Status.NOT_CHECKED:
        assert "from entry 5 on" in sentence


# --- keys that were replaced


def rotated_log() -> SampleLog:
    """Two receipts, a rotation as entry 2, and three more receipts."""
    log = sample_log(2)
    rotate(log, OLD, NEW)
    for number in range(3, 6):
        log.add_receipt(sample_charge(number))
    return log


def twice_rotated_log() -> SampleLog:
    """That log, a second rotation as entry 6, and two more receipts."""
    log = rotated_log()
    rotate(log, NEW, THIRD)
    for number in range(7, 9):
        log.add_receipt(sample_charge(number))
    return log


def rotate(log: SampleLog, old: Signer, new: Signer) -> None:
    log.append(
        key_rotation_entry(
            EntryPlace(organisation="acme", seq=len(log.entries), prev=log.prev, issued_at=NINE),
            old_key=old.verifier_key,
            new_key=new.verifier_key,
            reason=RotationReason.SCHEDULED,
            overlap_until=NINE + timedelta(days=1),
        )
    )


def signed_by(log: SampleLog, size: int, *signers: Signer) -> str:
    return sign_checkpoint(log.checkpoint(size), signers)


def under(log: SampleLog, size: int, *signers: Signer, indexes: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """A bundle under the checkpoint of a size, signed by these."""
    note = signed_by(log, size, *signers)
    return make_bundle(
        [
            BundledReceipt(
                body=log.entries[index].body,
                disclosures=entry.disclosures if isinstance(entry := log.entries[index], SealedReceipt) else (),
                proof=format_proof(index, inclusion_proof(index, size, log.get), note),
                anchor=None,
            )
            for index in indexes
        ],
        [],
    )


PINNED = Trust((PinnedKey(OLD.verifier_key, 1, 4), PinnedKey(NEW.verifier_key, 3)))


@pytest.mark.parametrize(
    ("size", "signers", "broken"),
    [
        (2, (OLD,), None),
        (4, (OLD, NEW), None),
        (6, (NEW,), None),
        (6, (OLD, NEW), None),
        (6, (OLD,), Link.CHECKPOINT),
        (2, (NEW,), Link.CHECKPOINT),
    ],
)
def test_a_key_vouches_for_the_sizes_that_it_is_pinned_for(
    size: int, signers: tuple[Signer, ...], broken: Link | None
) -> None:
    report = check(under(rotated_log(), size, *signers), PINNED)
    assert report.broken is broken
    if size == 6 and broken:
        assert "a replaced key was used again" in found(report, Link.CHECKPOINT)[0][1]


def test_a_rotation_in_the_bundle_asks_for_the_new_keys_signature() -> None:
    both = Trust((OLD.verifier_key, NEW.verifier_key))
    good = check(under(rotated_log(), 6, OLD, NEW, indexes=(1, 2, 5)), both)
    assert good.broken is None
    assert any("rotation to the key" in sentence for _, sentence in found(good, Link.BODY))
    stolen = check(under(rotated_log(), 6, OLD, indexes=(1, 2, 5)), both)
    assert stolen.broken is Link.CHECKPOINT
    assert "has a new key" in next(text for status, text in found(stolen, Link.CHECKPOINT) if status is Status.FAILED)


ALL_KEYS = Trust(tuple(signer.verifier_key for signer in (OLD, NEW, THIRD)))


@pytest.mark.parametrize(
    ("indexes", "signers", "broken"),
    [
        ((1, 2, 6, 8), (THIRD,), None),
        ((1, 2, 6, 8), (NEW, THIRD), None),
        ((1, 2, 6, 8), (NEW,), Link.CHECKPOINT),
        ((1, 2, 6, 8), (OLD,), Link.CHECKPOINT),
        ((1, 2, 8), (THIRD,), None),
        ((1, 2, 8), (OLD,), Link.CHECKPOINT),
        ((1, 6, 8), (THIRD,), None),
        ((1, 6, 8), (NEW,), Link.CHECKPOINT),
    ],
)
def test_only_the_last_rotation_before_a_checkpoint_says_who_signs_it(
    indexes: tuple[int, ...], signers: tuple[Signer, ...], broken: Link | None
) -> None:
    """A selection may lack the last rotation: then its key counts if it was pinned, the replaced one never."""
    assert check(under(twice_rotated_log(), 9, *signers, indexes=indexes), ALL_KEYS).broken is broken
