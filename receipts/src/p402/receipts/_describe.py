"""Says in a sentence what an entry of the log is about, whatever its type; also what its type must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p402.receipts._canonical import member
from p402.receipts._contents import check_contents
from p402.receipts.errors import Malformed

__all__ = ["describe", "knows"]

_COMMON = {"type": str, "version": int, "organisation": str, "seq": int, "prev": str, "issued_at": str}
_COMMITTED: dict[str, type] = {"_sd_alg": str, "_sd": list}
_RECEIPT: dict[str, type] = {
    "receipt_id": str,
    "session": dict,
    "attribution": dict,
    "models": list,
    "requests": int,
    "unpriced_requests": int,
    "tokens": dict,
    "cost_usd": str,
    "usage_sources": dict,
    "price_books": list,
    "routing": list,
    "output_fingerprint": dict,
    "content_mode": str,
    "charges": dict,
    **_COMMITTED,
}
_MEMBERS: dict[str, dict[str, type]] = {
    "session-receipt": _RECEIPT,
    "correction": _RECEIPT,
    "settlement": {
        "settlement_id": str,
        "statement_sha256": str,
        "chain_id": int,
        "tx_hash": str,
        "block_number": int,
        "block_hash": str,
        "log_index": int,
    },
    "review": {"review_id": str, "receipt_id": str, "receipt_leaf": str, "action": str, **_COMMITTED},
    "hold": {"hold_id": str, "action": str, "matter": str, "scope": dict, **_COMMITTED},
    "erasure": {
        "erasure_id": str,
        "part": int,
        "parts": int,
        "legal_basis": str,
        "digests": list,
        "held_back": int,
        **_COMMITTED,
    },
    "access-log": {"first": int, "last": int, "count": int, "sha256": str, "from": str, "to": str},
    "key-rotation": {"old_key": str, "new_key": str, "reason": str, "overlap_until": str},
    "period-close": {
        "period": str,
        "time_zone": str,
        "charges": int,
        "unpriced_charges": int,
        "cost_usd": str,
        "through_seq": int,
    },
    "heartbeat": {},
}
_NULLABLE: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("session-receipt", "correction"), ("department", "project", "client")
)
"""Members that are a text or null, by type."""


def describe(body: Mapping[str, Any]) -> str:
    """Say what a decoded entry is about, in ASCII.

    Raises:
        Malformed: if it lacks a member that its type has, or has one of another type or one too many, or if what stands in
            them, at any depth, is not what it must be (FORMAT.md §3).
    """
    for name, kind in _COMMON.items():
        member(body, name, kind)
    if body["version"] != 1:
        raise Malformed(f"Entry {body['seq']} is of version {body['version']}; this release reads version 1.")
    members = _MEMBERS.get(body["type"])
    if members is not None:
        _check_members(body, members)
    check_contents(body)
    place = f"entry {body['seq']} of {_plain(body['organisation'])}, {_plain(body['issued_at'])}"
    if members is None:
        return f"a {_plain(body['type'])}, {place}; this release does not know what its members mean"
    return f"{_subject(body)}, {place}"


def knows(body: Mapping[str, Any]) -> bool:
    """Tell whether this release knows what the members of an entry's type mean."""
    return body["type"] in _MEMBERS


def _check_members(body: Mapping[str, Any], members: Mapping[str, type]) -> None:
    """Check the members of a type by their names and types: all are there, and no others."""
    for name, kind in members.items():
        member(body, name, kind)
    nullable = _NULLABLE.get(body["type"], ())
    for name in nullable:
        if name not in body or body[name] is not None:
            member(body, name, str)
    flags = ("self_review",) if body["type"] == "review" else ()
    if not all(isinstance(body.get(name), bool) for name in flags):
        raise Malformed("'self_review' is missing or is not true or false.")
    if more := body.keys() - _COMMON.keys() - members.keys() - {*nullable, *flags}:
        raise Malformed(
            f"A {body['type']} has {', '.join(f'{name[:80]!a}' for name in sorted(more)[:3])}, which its type does not have."
        )


def _subject(body: Mapping[str, Any]) -> str:
    told = _Told(body)
    match body["type"]:
        case "session-receipt":
            return f"a session-receipt over {told['cost_usd']} USD"
        case "correction":
            return f"a correction of {_plain(body['session'].get('supplements'))} by {told['cost_usd']} USD"
        case "settlement":
            return (
                f"the settlement {told['settlement_id']}, in block {told['block_number']} of chain {told['chain_id']}"
            )
        case "review":
            own = ", by the session's own employee" if body.get("self_review") is True else ""
            return f"a review of {told['receipt_id']}: {told['action']}{own}"
        case "hold":
            return f"the legal hold {told['hold_id']} for {told['matter']}: {told['action']}"
        case "erasure":
            part = "" if body["parts"] == 1 else f" (part {told['part']} of {told['parts']})"
            held = f"; a hold kept {told['held_back']}" if body["held_back"] else ""
            return f"the erasure {told['erasure_id']}{part} of {len(body['digests'])} disclosures, {told['legal_basis']}{held}"
        case "access-log":
            return f"{told['count']} reads of personal data, from {told['from']} to {told['to']}"
        case "key-rotation":
            return f"a {told['reason']} rotation to the key {told['new_key']}"
        case "period-close":
            return f"the period {told['period']}, closed with {told['charges']} charges over {told['cost_usd']} USD"
        case _:
            return "a heartbeat of an idle log"


class _Told:
    """Members as they are shown."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    def __getitem__(self, name: str) -> str:
        return _plain(self._body[name])


def _plain(value: object) -> str:
    """Show a value so that it cannot forge a line of the report."""
    return ascii(str(value))[1:-1][:200]
