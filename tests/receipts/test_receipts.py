"""Sealing receipts: what they say, and what they refuse to say."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.receipts import (
    NO_PREVIOUS,
    ClosedBy,
    EntryPlace,
    SealedReceipt,
    canonical,
    charge_line,
    charges_digest,
    leaf_hash,
    open_disclosure,
    seal_receipt,
    settlement_entry,
)
from p402.receipts.errors import NotSealable
from p402.vocabulary import Attribution, Charge, Level, Money, Usage
from support.sample_log import NINE, SAMPLE_ANCHOR, WHO, SampleLog, sample_charge, unpriced_charge


def seal(*charges: Charge, **changes: Any) -> SealedReceipt:
    place: dict[str, Any] = {"organisation": "acme", "seq": 0, "prev": NO_PREVIOUS, "issued_at": NINE}
    place |= {name: changes.pop(name) for name in tuple(changes) if name in place}
    arguments: dict[str, Any] = {
        "receipt_id": "rcpt_1",
        "closed_by": ClosedBy.IDLE,
        "content_mode": "metadata",
        "verified_through": Level.PROJECT,
        **changes,
    }
    return seal_receipt(charges, EntryPlace(**place), **arguments)


def body_of(receipt: SealedReceipt) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(receipt.body)
    return body


def test_the_worked_example_costs_what_the_price_list_says() -> None:
    body = body_of(seal(sample_charge()))
    assert body["tokens"] == {"input": 2847, "output": 10000, "total": 12847}
    assert body["cost_usd"] == "0.264235"
    assert body["routing"] == ["complexity=7, dept_policy=quality-first"]
    assert body["models"] == [
        {
            "provider": "anthropic",
            "model": "claude-opus-4-5-20251101",
            "requests": 1,
            "unpriced_requests": 0,
            "tokens": {
                "input": 2847,
                "cache_read": 0,
                "cache_write": 0,
                "output": 10000,
                "reasoning": 0,
                "total": 12847,
            },
            "cost_usd": "0.264235",
        }
    ]


def test_the_body_is_canonical_and_the_leaf_is_its_hash() -> None:
    receipt = seal(sample_charge())
    assert canonical(body_of(receipt)) == receipt.body
    assert receipt.leaf_hash == leaf_hash(receipt.body) == hashlib.sha256(b"\0" + receipt.body).digest()


def test_a_receipt_names_its_place_and_the_entry_before_it() -> None:
    log = SampleLog()
    first, second = body_of(log.add_receipt()), body_of(log.add_receipt())
    assert (first["seq"], first["prev"]) == (0, "0" * 64)
    assert (second["seq"], second["prev"]) == (1, log.entries[0].leaf_hash.hex())


def test_the_session_runs_from_the_first_start_to_the_last_end() -> None:
    session = body_of(seal(sample_charge(5), sample_charge(0)))["session"]
    assert session == {
        "opened_at": "2026-11-23T09:00:00.000Z",
        "closed_at": "2026-11-23T09:05:12.345Z",
        "closed_by": "idle",
        "part": 1,
        "supplements": None,
    }


def test_unpriced_calls_are_counted_and_cost_nothing_known() -> None:
    body = body_of(seal(sample_charge(), unpriced_charge()))
    assert (body["requests"], body["unpriced_requests"], body["cost_usd"]) == (2, 1, "0.264235")
    assert body["usage_sources"] == {"provider": 1, "estimated": 1}
    assert [(model["model"], model["unpriced_requests"]) for model in body["models"]] == [
        ("claude-opus-4-5-20251101", 0),
        ("my-finetune", 1),
    ]
    assert body["price_books"] == [{"id": "genai-prices/0.0.30", "sha256": "ab" * 32}]


def test_retries_of_one_call_are_one_request_and_two_charges() -> None:
    retry = replace(sample_charge(1), request="req_0")
    body = body_of(seal(sample_charge(0), retry))
    assert (body["requests"], body["charges"]["count"], body["cost_usd"]) == (1, 2, "0.52847")


def test_employee_and_session_are_committed_to_and_nowhere_in_clear() -> None:
    receipt = seal(sample_charge())
    body = body_of(receipt)
    assert b"emp_7" not in receipt.body
    assert b"sess_42" not in receipt.body
    opened = dict(open_disclosure(body["_sd"], disclosure) for disclosure in receipt.disclosures)
    assert opened == {"employee": "emp_7", "session_id": "sess_42"}
    assert body["_sd"] == sorted(body["_sd"])


def test_unattributed_levels_are_null_and_nothing_is_committed_for_them() -> None:
    receipt = seal(replace(sample_charge(), attribution=Attribution("acme", "engineering")), verified_through=None)
    body = body_of(receipt)
    assert (body["department"], body["project"], body["client"]) == ("engineering", None, None)
    assert (body["_sd"], receipt.disclosures) == ([], ())
    assert body["attribution"] == {"verified_through": None}


def test_a_later_part_names_the_first() -> None:
    session = body_of(seal(sample_charge(), part=2, supplements="rcpt_0"))["session"]
    assert (session["part"], session["supplements"]) == (2, "rcpt_0")


def test_a_correction_is_a_later_part_with_a_type_of_its_own() -> None:
    body = body_of(seal(sample_charge(), part=2, supplements="rcpt_0", correction=True))
    assert body.pop("type") == "correction"
    receipt = body_of(seal(sample_charge(), part=2, supplements="rcpt_0"))
    assert body.keys() == receipt.keys() - {"type"}


def test_the_digest_is_over_the_lines_of_all_charges_in_their_order() -> None:
    charges = [sample_charge(), unpriced_charge()]
    lines = b"".join(charge_line(charge) + b"\n" for charge in charges)
    assert charges_digest(charges) == hashlib.sha256(lines).hexdigest()
    assert charges_digest(charges) != charges_digest(charges[::-1])
    assert body_of(seal(*charges))["charges"] == {"count": 2, "sha256": charges_digest(charges)}


def test_a_line_says_all_of_a_charge_but_who_it_was_for() -> None:
    line = json.loads(charge_line(sample_charge()))
    assert line["usage"]["output_tokens"] == 10000
    assert len(line["usage"]) == 11
    assert line["price_book"] == {"id": "genai-prices/0.0.30", "sha256": "ab" * 32}
    assert not {*line} & {"organisation", "department", "project", "client", "employee", "session", "attribution"}


@pytest.mark.parametrize(
    "change",
    [
        {"organisation": "other"},
        {"organisation": ""},
        {"seq": 1},
        {"seq": -1},
        {"prev": b"\1" * 32},
        {"seq": 1, "prev": b"\1" * 31},
        {"part": 0},
        {"part": 2},
        {"supplements": "rcpt_0"},
        {"correction": True},
        {"content_mode": "everything"},
        {"receipt_id": "two\nlines"},
    ],
    ids=str,
)
def test_arguments_that_contradict_each_other_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(NotSealable):
        seal(sample_charge(), **change)


def test_a_receipt_is_about_one_attribution() -> None:
    with pytest.raises(NotSealable, match="have 2"):
        seal(sample_charge(0), replace(sample_charge(1), attribution=replace(WHO, employee="emp_8")))
    with pytest.raises(NotSealable, match="have 0"):
        seal()


def test_a_receipt_of_more_than_64_kib_is_refused() -> None:
    with pytest.raises(NotSealable, match="at most 65536"):
        seal(replace(sample_charge(), rationale="x" * 65_536))


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**9), st.sampled_from("abc")), min_size=1))
def test_totals_are_the_sums_of_the_models(rows: list[tuple[int, int, str]]) -> None:
    charges = [
        replace(sample_charge(number), cost=Money(nano), usage=Usage(input_tokens=tokens), response_model=model)
        for number, (nano, tokens, model) in enumerate(rows)
    ]
    body = body_of(seal(*charges))
    assert sum(Money.parse(model["cost_usd"]).nano_usd for model in body["models"]) == sum(row[0] for row in rows)
    assert Money.parse(body["cost_usd"]).nano_usd == sum(row[0] for row in rows)
    assert sum(model["tokens"]["total"] for model in body["models"]) == body["tokens"]["total"]
    assert sum(model["requests"] for model in body["models"]) == body["requests"] == len(rows)


def test_a_settlement_becomes_an_entry_of_the_log() -> None:
    entry = settlement_entry(
        EntryPlace(organisation="acme", seq=7, prev=b"\1" * 32, issued_at=NINE),
        settlement_id="stl_1",
        memo=b"\2" * 32,
        anchor=SAMPLE_ANCHOR,
    )
    assert json.loads(entry.body) == {
        "type": "settlement",
        "version": 1,
        "organisation": "acme",
        "seq": 7,
        "prev": "01" * 32,
        "issued_at": "2026-11-23T09:00:00.000Z",
        "settlement_id": "stl_1",
        "statement_sha256": "02" * 32,
        "chain_id": 31337,
        "tx_hash": "0x" + "a1" * 32,
        "block_number": 100,
        "block_hash": "0x" + "b2" * 32,
        "log_index": 3,
    }
