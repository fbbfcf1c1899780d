"""Whether nothing is left out of the range of a log that a bundle says it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from p402.receipts._bundle import Bundle
from p402.receipts._entry import NO_PREVIOUS
from p402.receipts._findings import Findings
from p402.receipts._report import Check, Link, Status
from p402.receipts._states import States
from p402.receipts._trust import Trust
from p402.receipts.errors import Malformed
from p402.receipts.merkle import leaf_hash

__all__ = ["check_complete"]


def check_complete(bundle: Bundle, bodies: Sequence[dict[str, Any] | None], trust: Trust, states: States) -> Check:
    """Check that all entries of the range are here, in order, and that it goes on from what was pinned.

    Args:
        bundle: what says that it is a range, or does not.
        bodies: the decoded entry of each of its receipts; None where that is none.
        trust: what the auditor pinned, and asks for.
        states: the states of the log that are known.
    """
    if bundle.whole is None:
        sentence = "The bundle is a selection and does not say that nothing is missing: ask for a bundle of a range."
        return Check(Link.COMPLETE, "range", Status.NOT_CHECKED, sentence)
    first, last = bundle.whole
    known = max((pinned.size for pinned in trust.checkpoints), default=first)
    found = Findings("range")
    data = [receipt.body for receipt in bundle.receipts]
    found.run(Link.COMPLETE, _check_range, first, last, data, bodies, states.signed_size)
    if trust.complete and first > known and found.checks[0].status is Status.OK:
        sentence = (
            f"Entries {first} to {last} are all here, but you pinned {known}, and the entries between are not: ask for a "
            f"bundle from entry {known} on."
        )
        return Check(Link.COMPLETE, "range", Status.NOT_CHECKED, sentence)
    return found.checks[0]


def _check_range(
    first: int, last: int, data: Sequence[bytes], bodies: Sequence[dict[str, Any] | None], signed: int
) -> tuple[bool, str]:
    if len(bodies) != last - first + 1:
        raise Malformed(
            f"Entries {first} to {last} are {last - first + 1}; the bundle has {len(bodies)}: some are missing."
        )
    previous = NO_PREVIOUS.hex() if first == 0 else None
    for seq, (item, body) in enumerate(zip(data, bodies, strict=True), start=first):
        if body is None or body["seq"] != seq:
            raise Malformed(f"Where entry {seq} should be there is another one: the range has a gap, or was reordered.")
        if previous not in (None, body["prev"]):
            raise Malformed(f"Entry {seq} names another entry before it than the one that is here.")
        previous = leaf_hash(item).hex()
    named = f"Entries {first} to {last} are all here, and each names the one before it."
    return True, f"{named} The signed log has {signed} entries." if signed else named
