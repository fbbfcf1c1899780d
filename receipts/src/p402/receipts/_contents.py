"""Which members an entry has, by its type: the form of each value, at any depth, and that they add up (FORMAT.md §3).

What cannot be told from an entry alone is not looked at: whether the hashes in it are of what they are said to be
(charges, price books, rows of the access log, the receipt that was reviewed), and what commitments commit to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from p402.receipts import _shapes as form
from p402.receipts._canonical import member
from p402.receipts._entry import NO_PREVIOUS
from p402.receipts._shapes import either, listed, matching, members, one_of
from p402.receipts.errors import Malformed
from p402.vocabulary import Level, Money

__all__ = ["check_contents", "knows"]

_HASH_OF_CHAIN = matching("0x[0-9a-f]{64}", "a hash of the chain")
_SUMMED = ("input", "output", "total")
_OF_MODEL = (*_SUMMED, "cache_read", "cache_write", "reasoning")
_COMMITTED = {"_sd_alg": one_of({"sha-256"}), "_sd": form.DIGESTS}

_COMMON = {
    "type": form.ANY_TEXT,
    "version": form.NUMBER,
    "organisation": form.ID,
    "seq": form.COUNT,
    "prev": form.HASH,
    "issued_at": form.TIME,
}
_MODEL = members(
    {
        "provider": form.TEXT,
        "model": form.TEXT,
        "requests": form.NUMBER,
        "unpriced_requests": form.COUNT,
        "tokens": members(dict.fromkeys(_OF_MODEL, form.COUNT)),
        "cost_usd": form.AMOUNT,
    }
)
_RECEIPT = {
    "receipt_id": form.ID,
    "session": members(
        {
            "opened_at": form.TIME,
            "closed_at": form.TIME,
            "closed_by": one_of({"api", "idle"}),
            "part": form.NUMBER,
            "supplements": either(form.ID),
        }
    ),
    **dict.fromkeys(("department", "project", "client"), either(form.ID)),
    "attribution": members({"verified_through": either(one_of([level.value for level in Level]))}),
    "models": listed(_MODEL, lambda item: (item["provider"], item["model"])),
    "requests": form.NUMBER,
    "unpriced_requests": form.COUNT,
    "tokens": members(dict.fromkeys(_SUMMED, form.COUNT)),
    "cost_usd": form.AMOUNT,
    "usage_sources": members(dict.fromkeys(("provider", "estimated"), form.COUNT)),
    "price_books": listed(members({"id": form.ID, "sha256": form.HASH}), lambda item: (item["id"], item["sha256"])),
    "routing": listed(form.TEXT),
    "output_fingerprint": members({"state": one_of({"not-captured"})}),
    "content_mode": one_of({"metadata", "fingerprint", "redacted", "full"}),
    "charges": members({"count": form.NUMBER, "sha256": form.HASH}),
    **_COMMITTED,
}
_FORMS: Mapping[str, Mapping[str, form.Shape]] = {
    "session-receipt": _RECEIPT,
    "correction": _RECEIPT,
    "settlement": {
        "settlement_id": form.ID,
        "statement_sha256": form.HASH,
        "chain_id": form.NUMBER,
        "tx_hash": _HASH_OF_CHAIN,
        "block_number": form.COUNT,
        "block_hash": _HASH_OF_CHAIN,
        "log_index": form.COUNT,
    },
    "review": {
        "review_id": form.ID,
        "receipt_id": form.ID,
        "receipt_leaf": form.HASH,
        "action": one_of({"requested", "approved", "rejected", "commented"}),
        "self_review": form.FLAG,
        **_COMMITTED,
    },
    "hold": {
        "hold_id": form.ID,
        "action": one_of({"placed", "released"}),
        "matter": form.ID,
        "scope": members(
            {
                "organisation": form.ID,
                **dict.fromkeys(("department", "project", "client"), either(form.ID)),
                **dict.fromkeys(("from", "to"), either(form.TIME)),
            }
        ),
        **_COMMITTED,
    },
    "erasure": {
        "erasure_id": form.ID,
        "part": form.NUMBER,
        "parts": form.NUMBER,
        "legal_basis": form.ID,
        "digests": form.DIGESTS,
        "held_back": form.COUNT,
        **_COMMITTED,
    },
    "access-log": {
        **dict.fromkeys(("first", "last", "count"), form.NUMBER),
        "sha256": form.HASH,
        **dict.fromkeys(("from", "to"), form.TIME),
    },
    "key-rotation": {
        **dict.fromkeys(("old_key", "new_key"), form.KEY),
        "reason": one_of({"scheduled", "compromised"}),
        "overlap_until": form.TIME,
    },
    "period-close": {
        "period": matching(r"[0-9]{4}-(0[1-9]|1[0-2])", "a month such as 2026-10"),
        "time_zone": one_of({"UTC"}),
        **dict.fromkeys(("charges", "unpriced_charges", "through_seq"), form.COUNT),
        "cost_usd": form.AMOUNT,
    },
    "heartbeat": {},
}


def check_contents(body: Mapping[str, Any]) -> None:
    """Check that an entry has the members of its type, no others, and what stands inside them; of an unknown type the common ones.

    Raises:
        Malformed: naming the member and what is wrong with it.
    """
    _check_kinds(body, _COMMON)
    if body["version"] != 1:
        raise Malformed(f"Entry {body['seq']} is of version {body['version']}; this release reads version 1.")
    kind = body["type"]
    forms = {**_COMMON, **_FORMS.get(kind, {})}
    if knows(body):
        _check_kinds(body, forms)
        if more := body.keys() - forms.keys():
            names = ", ".join(f"{name[:80]!a}" for name in sorted(more)[:3])
            raise Malformed(f"A {kind} has {names}, which its type does not have.")
    for name, shape in forms.items():
        shape(body[name], name)
    if (body["seq"] == 0) != (body["prev"] == NO_PREVIOUS.hex()):
        raise Malformed("prev is 64 zeros in entry 0, and in no other.")
    if kind in _SUMS:
        _SUMS[kind](body)


def knows(body: Mapping[str, Any]) -> bool:
    """Tell whether this release knows what the members of an entry's type mean."""
    return body["type"] in _FORMS


def _check_kinds(body: Mapping[str, Any], forms: Mapping[str, form.Shape]) -> None:
    for name, shape in forms.items():
        if shape.kind is bool:
            if not isinstance(body.get(name), bool):
                raise Malformed(f"{name!r} is missing or is not true or false.")
        elif not (shape.nullable and name in body and body[name] is None):
            member(body, name, shape.kind)


def _check_receipt(body: Mapping[str, Any]) -> None:
    session = body["session"]
    if session["opened_at"] > session["closed_at"]:
        raise Malformed("session ends before it begins.")
    if (session["part"] == 1) != (session["supplements"] is None) or (body["type"], session["part"]) == (
        "correction",
        1,
    ):
        raise Malformed(
            "session.supplements names a receipt in parts after the first and in corrections, and in no other."
        )
    _check_sums(body, body["models"])


def _check_sums(body: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> None:
    if not models:
        raise Malformed("models is empty, and a receipt is over at least one request.")
    cost = sum((Money.parse(model["cost_usd"]) for model in models), Money(0))
    if cost != Money.parse(body["cost_usd"]):
        raise Malformed(f"cost_usd is {body['cost_usd']}, and its models came to {cost}.")
    for count in _SUMMED:
        if sum(model["tokens"][count] for model in models) != body["tokens"][count]:
            raise Malformed(f"tokens.{count} is not what its models add up to.")
    for item in (*models, body):
        if item["unpriced_requests"] > item["requests"]:
            raise Malformed("More requests are unpriced than there are.")
    if not max(model["requests"] for model in models) <= body["requests"] <= sum(model["requests"] for model in models):
        raise Malformed("requests is not what its models can come to.")
    if sum(body["usage_sources"].values()) != body["charges"]["count"] or body["requests"] > body["charges"]["count"]:
        raise Malformed("charges.count is not the number of usage_sources, or less than that of requests.")


def _check_hold(body: Mapping[str, Any]) -> None:
    scope = body["scope"]
    if scope["organisation"] != body["organisation"]:
        raise Malformed("scope is of another organisation than the log.")
    if scope["from"] is not None and scope["to"] is not None and scope["to"] <= scope["from"]:
        raise Malformed("scope ends before it begins.")


def _check_erasure(body: Mapping[str, Any]) -> None:
    if body["part"] > body["parts"]:
        raise Malformed(f"part is {body['part']} of {body['parts']} parts.")


def _check_access_log(body: Mapping[str, Any]) -> None:
    if body["count"] > body["last"] - body["first"] + 1 or body["to"] < body["from"]:
        raise Malformed("count is more than the rows from first to last, or to is before from.")


def _check_rotation(body: Mapping[str, Any]) -> None:
    if body["overlap_until"] < body["issued_at"]:
        raise Malformed("overlap_until is before the rotation.")
    if body["reason"] == "compromised" and body["overlap_until"] != body["issued_at"]:
        raise Malformed("A compromised key signs nothing any more: overlap_until is issued_at.")


def _check_period(body: Mapping[str, Any]) -> None:
    if body["unpriced_charges"] > body["charges"]:
        raise Malformed("More charges are unpriced than there are.")


_SUMS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "session-receipt": _check_receipt,
    "correction": _check_receipt,
    "hold": _check_hold,
    "erasure": _check_erasure,
    "access-log": _check_access_log,
    "key-rotation": _check_rotation,
    "period-close": _check_period,
}
