"""Says in a sentence what an entry of the log is about, whatever its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p402.receipts._contents import check_contents, knows

__all__ = ["describe"]


def describe(body: Mapping[str, Any]) -> str:
    """Say what a decoded entry is about, in ASCII.

    Raises:
        Malformed: if it lacks a member that its type has, or has one of another type or one too many, or if what stands in
            them, at any depth, is not what it must be (FORMAT.md §3).
    """
    check_contents(body)
    place = f"entry {body['seq']} of {_plain(body['organisation'])}, {_plain(body['issued_at'])}"
    if not knows(body):
        return f"a {_plain(body['type'])}, {place}; this release does not know what its members mean"
    return f"{_subject(body)}, {place}"


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
