"""What an MPP server says is read as it means it, refused where it is anything else, and repeated word for word."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.receipts.errors import Malformed
from p402.receipts.settlement.mpp_http import MppChallenge, MppTerms, credential, read_challenges, read_receipt

TOKEN, PAYEE = "0x20c0000000000000000000000000000000000001", "0x" + "22" * 20
TERMS = MppTerms(chain_id=31337, token=TOKEN, payee=PAYEE, amount_micro_usd=264_235)


def encoded(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def asked(details: Any = None, **change: Any) -> dict[str, Any]:
    request = {"amount": "264235", "currency": TOKEN, "recipient": PAYEE, "methodDetails": {"chainId": 31337}, **change}
    return request if details is None else {**request, "methodDetails": details}


def challenge(request: Any = None, **change: Any) -> MppChallenge:
    said = {
        "id": "ch-1",
        "realm": "payee.example.com",
        "method": "tempo",
        "intent": "charge",
        "request": encoded(asked() if request is None else request),
        "expires": "2026-11-26T13:15:07.640976Z",
    }
    return MppChallenge(**{**said, **change})


def header(said: MppChallenge) -> str:
    values = {name: getattr(said, name) for name in MppChallenge.__dataclass_fields__}
    return "Payment " + ", ".join(f'{name}="{value}"' for name, value in values.items() if value is not None)


def test_a_challenge_is_found_among_those_of_other_schemes_in_one_header_or_several() -> None:
    ours = header(challenge(description="so, Payment id=none"))
    headers = [f'Bearer realm="x, Payment id=1", error="y", {ours}, Basic realm="z"', header(challenge(id="ch-2"))]
    assert [found.id for found in read_challenges(headers)] == ["ch-1", "ch-2"]
    assert read_challenges(headers)[0] == challenge(description="so, Payment id=none")
    assert read_challenges(['Bearer realm="payment"', 'Basic realm="x"']) == []


def test_parameters_may_be_tokens_and_texts_may_be_escaped() -> None:
    request = encoded(asked())
    [found] = read_challenges(
        [f'payment ID=ch-1,realm="a \\"b\\" \\\\ \\ud83d\\ude00", method=tempo , intent=charge,request={request}']
    )
    assert (found.id, found.realm, found.method) == ("ch-1", 'a "b" \\ 😀', "tempo")


@pytest.mark.parametrize(
    "said",
    [
        'Payment id="ch-1"',
        'Payment id="ch-1", id="ch-2", realm="r", method="tempo", intent="charge", request="e30"',
        'Payment id="ch-1" realm="r", method="tempo", intent="charge", request="e30"',
        'Payment id="", realm="r", method="tempo", intent="charge", request="e30"',
        'Payment id="' + "x" * 17_000 + '"',
    ],
)
def test_what_is_no_challenge_is_refused_whole(said: str) -> None:
    with pytest.raises(Malformed):
        read_challenges([header(challenge()), said])


@given(st.text(max_size=200))
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    for said in (text, f"Payment {text}", header(challenge()) + text):
        try:
            for found in read_challenges([said]):
                found.differs(TERMS)
        except Malformed:
            pass


def test_what_is_meant_to_be_paid_fits_whatever_the_case_of_its_addresses() -> None:
    assert challenge().differs(TERMS) is None
    assert challenge(asked(currency=TOKEN.upper().replace("0X", "0x"), recipient=PAYEE)).differs(TERMS) is None


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (challenge(asked(amount="264236")), "another amount"),
        (challenge(asked(amount="264235.0")), "another amount"),
        (challenge(asked(amount=264235)), "another amount"),
        (challenge(asked(currency=PAYEE)), "another token"),
        (challenge(asked(recipient=TOKEN)), "another payee"),
        (challenge(asked(recipient=None)), "another payee"),
        (challenge(asked({"chainId": 4217})), "another chain"),
        (challenge(asked({"chainId": True})), "another chain"),
        (challenge(asked({"chainId": "31337"})), "another chain"),
        (challenge(asked({})), "another chain"),
        (challenge(asked([])), "no object"),
        (challenge(asked({"chainId": 31337, "splits": [{"amount": "1", "recipient": PAYEE}]})), "in parts"),
        (challenge(method="stripe"), "stripe/charge"),
        (challenge(intent="session"), "tempo/session"),
        (challenge(expires=None), "until when"),
        (challenge(expires="2026-11-26T13:15:07"), "until when"),
        (challenge(expires="soon"), "until when"),
        (challenge(header="Host"), "something else"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_asks_for_something_else_is_told_from_it(said: MppChallenge, says: str) -> None:
    assert says in (said.differs(TERMS) or "")


@pytest.mark.parametrize("said", ["e3", "W10", "=", encoded([[[]]]), "x" * 17_000])
def test_a_request_that_is_no_object_is_refused(said: str) -> None:
    with pytest.raises(Malformed):
        replace(challenge(), request=said).differs(TERMS)


def test_the_credential_repeats_the_challenge_and_names_the_transaction() -> None:
    said = challenge(opaque="e30", digest="sha-256=:x:", description="Thanks é")
    name, value = credential(said, "0xab", "did:pkh:eip155:31337:0x1")
    shown = json.loads(urlsafe_b64decode(value.removeprefix("Payment ") + "=="))
    assert name == "Authorization"
    assert shown["payload"] == {"type": "hash", "hash": "0xab"}
    assert shown["source"] == "did:pkh:eip155:31337:0x1"
    assert MppChallenge(**shown["challenge"]) == said
    assert "header" not in shown["challenge"]
    assert credential(challenge(header="Payment-Authorization"), "0xab", "x")[0] == "Payment-Authorization"
    assert MppChallenge.from_json(said.to_json()) == said


def test_a_receipt_says_that_it_was_paid_or_is_none() -> None:
    good = {"status": "success", "timestamp": "2026-11-26T13:15:07Z", "reference": "0xab", "method": "tempo"}
    found = read_receipt(f" {encoded(good)} ")
    assert (found.reference, found.timestamp, found.raw) == ("0xab", "2026-11-26T13:15:07Z", encoded(good))
    others: tuple[Any, ...] = ({**good, "status": "failed"}, {**good, "reference": 1}, {}, [])
    for bad in others:
        with pytest.raises(Malformed):
            read_receipt(encoded(bad))
