"""The entries beside receipts: what each says, what it commits to, and what it refuses to say."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from p402.receipts import (
    MAX_COMMITTED_TEXT,
    MAX_ENTRY_BYTES,
    MAX_ERASED_DIGESTS,
    NO_PREVIOUS,
    CommittedEntry,
    Entry,
    EntryPlace,
    HoldAction,
    ReviewAction,
    RotationReason,
    access_log_digest,
    access_log_entry,
    canonical,
    erasure_entry,
    heartbeat_entry,
    hold_entry,
    key_rotation_entry,
    leaf_hash,
    open_disclosure,
    period_close_entry,
    review_entry,
)
from p402.receipts.errors import Malformed, NotSealable
from p402.vocabulary import Attribution, Money
from support.sample_log import NINE, ORIGIN, fixed_signer

PLACE: dict[str, Any] = {"organisation": "acme", "seq": 0, "prev": NO_PREVIOUS, "issued_at": NINE}
HEADER = {
    "version": 1,
    "organisation": "acme",
    "seq": 0,
    "prev": "0" * 64,
    "issued_at": "2026-11-23T09:00:00.000Z",
}
OLD_KEY, NEW_KEY = fixed_signer().verifier_key, fixed_signer("successor").verifier_key

GOOD: dict[Callable[..., Entry], dict[str, Any]] = {
    review_entry: {
        "review_id": "rev_1",
        "receipt_id": "rcpt_1",
        "receipt_leaf": b"\1" * 32,
        "action": ReviewAction.APPROVED,
        "self_review": False,
        "reviewer": "emp_9",
        "comment": "Fine.",
    },
    hold_entry: {
        "hold_id": "hold_1",
        "action": HoldAction.PLACED,
        "matter": "case-17",
        "scope": Attribution("acme", "legal", employee="emp_7"),
        "begin": NINE,
        "end": None,
        "by": "key_1",
        "reason": "Litigation.",
    },
    erasure_entry: {
        "erasure_id": "era_1",
        "part": 1,
        "parts": 2,
        "legal_basis": "GDPR Art. 17(1)(b)",
        "digests": ["b" * 43, "a" * 43],
        "held_back": 3,
        "by": "key_1",
    },
    access_log_entry: {"first": 3, "last": 9, "count": 5, "sha256": "ab" * 32, "begin": NINE, "end": NINE},
    key_rotation_entry: {
        "old_key": OLD_KEY,
        "new_key": NEW_KEY,
        "reason": RotationReason.SCHEDULED,
        "overlap_until": NINE + timedelta(days=7),
    },
    period_close_entry: {
        "period": "2026-10",
        "charges": 7,
        "unpriced_charges": 1,
        "cost": Money(264_235_000),
        "through_seq": 9,
    },
    heartbeat_entry: {},
}


def seal(make: Callable[..., Entry], **changes: Any) -> Entry:
    place = {name: changes.pop(name, value) for name, value in PLACE.items()}
    return make(EntryPlace(**place), **{**GOOD[make], **changes})


def said(make: Callable[..., Entry], **changes: Any) -> dict[str, Any]:
    """Give what an entry says beside the header and its commitments."""
    body = json.loads(seal(make, **changes).body)
    return {name: value for name, value in body.items() if name not in HEADER and not name.startswith("_sd")}


def disclosed(entry: Entry) -> dict[str, str]:
    assert isinstance(entry, CommittedEntry)
    return dict(open_disclosure(json.loads(entry.body)["_sd"], disclosure) for disclosure in entry.disclosures)


@pytest.mark.parametrize("make", GOOD, ids=lambda make: make.__name__)
def test_an_entry_is_canonical_begins_with_the_header_and_is_hashed_as_a_leaf(make: Callable[..., Entry]) -> None:
    entry = seal(make)
    body = json.loads(entry.body)
    assert canonical(body) == entry.body
    assert entry.leaf_hash == leaf_hash(entry.body)
    assert {name: body[name] for name in HEADER} == HEADER


def test_a_review_says_what_was_reviewed_and_commits_to_who_and_why() -> None:
    assert said(review_entry) == {
        "type": "review",
        "review_id": "rev_1",
        "receipt_id": "rcpt_1",
        "receipt_leaf": "01" * 32,
        "action": "approved",
        "self_review": False,
    }
    assert disclosed(seal(review_entry)) == {"reviewer": "emp_9", "comment": "Fine."}
    assert disclosed(seal(review_entry, comment=None)) == {"reviewer": "emp_9"}


def test_a_hold_says_what_it_covers_and_commits_to_people() -> None:
    assert said(hold_entry) == {
        "type": "hold",
        "hold_id": "hold_1",
        "action": "placed",
        "matter": "case-17",
        "scope": {
            "organisation": "acme",
            "department": "legal",
            "project": None,
            "client": None,
            "from": "2026-11-23T09:00:00.000Z",
            "to": None,
        },
    }
    entry = seal(hold_entry)
    assert disclosed(entry) == {"employee": "emp_7", "by": "key_1", "reason": "Litigation."}
    assert b"emp_7" not in entry.body


def test_an_erasure_lists_its_digests_in_order() -> None:
    assert said(erasure_entry) == {
        "type": "erasure",
        "erasure_id": "era_1",
        "part": 1,
        "parts": 2,
        "legal_basis": "GDPR Art. 17(1)(b)",
        "digests": ["a" * 43, "b" * 43],
        "held_back": 3,
    }
    assert disclosed(seal(erasure_entry, by=None)) == {}


def test_the_largest_erasure_fits_into_an_entry() -> None:
    digests = [f"{number:043d}" for number in range(MAX_ERASED_DIGESTS)]
    assert len(seal(erasure_entry, digests=digests).body) < MAX_ENTRY_BYTES


def test_a_run_of_the_access_log_is_hashed_line_by_line() -> None:
    assert access_log_digest([{"b": 1, "a": "é"}, {"n": 2}]) == (
        "ad6da959ad052be29684f9490fc99f713a7245ed5538ec8801e3a8d0009afd31"
    )
    assert said(access_log_entry) == {
        "type": "access-log",
        "first": 3,
        "last": 9,
        "count": 5,
        "sha256": "ab" * 32,
        "from": "2026-11-23T09:00:00.000Z",
        "to": "2026-11-23T09:00:00.000Z",
    }


def test_a_rotation_names_both_keys_and_until_when_the_old_one_signs() -> None:
    assert said(key_rotation_entry) == {
        "type": "key-rotation",
        "old_key": OLD_KEY,
        "new_key": NEW_KEY,
        "reason": "scheduled",
        "overlap_until": "2026-11-30T09:00:00.000Z",
    }


def test_a_closed_period_has_its_totals() -> None:
    assert said(period_close_entry) == {
        "type": "period-close",
        "period": "2026-10",
        "time_zone": "UTC",
        "charges": 7,
        "unpriced_charges": 1,
        "cost_usd": "0.264235",
        "through_seq": 9,
    }


def test_a_heartbeat_says_nothing_but_when() -> None:
    assert said(heartbeat_entry) == {"type": "heartbeat"}


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (review_entry, {"review_id": ""}),
        (review_entry, {"reviewer": "two\nlines"}),
        (review_entry, {"receipt_leaf": b"\1" * 31}),
        (review_entry, {"comment": "x" * (MAX_COMMITTED_TEXT + 1)}),
        (review_entry, {"comment": ""}),
        (hold_entry, {"scope": Attribution("other")}),
        (hold_entry, {"scope": Attribution("acme", "two\nlines")}),
        (hold_entry, {"end": NINE}),
        (hold_entry, {"matter": " "}),
        (erasure_entry, {"part": 0}),
        (erasure_entry, {"part": 3}),
        (erasure_entry, {"digests": ["short"]}),
        (erasure_entry, {"digests": ["a" * 43, "a" * 43]}),
        (erasure_entry, {"digests": [f"{number:043d}" for number in range(MAX_ERASED_DIGESTS + 1)]}),
        (erasure_entry, {"held_back": -1}),
        (access_log_entry, {"count": 8}),
        (access_log_entry, {"count": 0}),
        (access_log_entry, {"sha256": "AB" * 32}),
        (access_log_entry, {"end": NINE - timedelta(seconds=1)}),
        (key_rotation_entry, {"new_key": OLD_KEY}),
        (key_rotation_entry, {"new_key": fixed_signer(origin="other").verifier_key}),
        (key_rotation_entry, {"overlap_until": NINE - timedelta(seconds=1)}),
        (key_rotation_entry, {"reason": RotationReason.COMPROMISED}),
        (period_close_entry, {"period": "2026-13"}),
        (period_close_entry, {"unpriced_charges": 8}),
        (period_close_entry, {"through_seq": True}),
        (heartbeat_entry, {"seq": 1}),
    ],
    ids=lambda value: value.__name__ if callable(value) else f"{next(iter(value))}={next(iter(value.values()))!a:.24}",
)
def test_what_the_format_does_not_allow_is_refused(make: Callable[..., Entry], change: dict[str, Any]) -> None:
    with pytest.raises(NotSealable):
        seal(make, **change)


def test_unknown_actions_and_broken_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="liked"):
        seal(review_entry, action="liked")
    with pytest.raises(Malformed):
        seal(key_rotation_entry, old_key=f"{ORIGIN}+00000000+AA==")
