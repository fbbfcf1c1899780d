"""Whether a key that the log says it replaced was used again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from p402.receipts._findings import Findings
from p402.receipts._note import PinnedKey, open_checkpoint
from p402.receipts._report import Check, Link
from p402.receipts._trust import Opener
from p402.receipts.errors import CheckpointUntrusted
from p402.vocabulary import Permanent

__all__ = ["check_rotations"]


def check_rotations(bodies: Sequence[dict[str, Any] | None], opener: Opener) -> Iterator[Check]:
    """Check that no checkpoint is vouched for by nothing but a key that a rotation in the bundle had replaced by then."""
    known = (body for body in bodies if body is not None and body["type"] == "key-rotation")
    rotations = sorted(known, key=lambda body: body["seq"])
    for note, checkpoint in opener.opened.items():
        if isinstance(checkpoint, Permanent):
            continue
        before = [rotation for rotation in rotations if rotation["seq"] < checkpoint.size]
        if before:
            found = Findings(f"rotation at entry {before[-1]['seq']}")
            found.run(Link.CHECKPOINT, _check_successor, note, before, opener.keys)
            yield from found.checks


def _check_successor(
    note: str, rotations: Sequence[dict[str, Any]], keys: Sequence[str | PinnedKey]
) -> tuple[bool, str]:
    """Check that the key of the last rotation before a checkpoint signed it, or a pinned key that none of them replaced.

    The latter may have come by a rotation that is not in the bundle.
    """
    with suppress(CheckpointUntrusted):
        checkpoint = open_checkpoint(note, [rotations[-1]["new_key"]])
        return True, f"The new key signed the checkpoint of {checkpoint.size} entries, as it must."
    replaced = {rotation["old_key"] for rotation in rotations}
    others = [key for key in keys if (key if isinstance(key, str) else key.vkey) not in replaced]
    try:
        checkpoint = open_checkpoint(note, others)
    except CheckpointUntrusted as error:
        raise CheckpointUntrusted(
            "The log says itself that it has a new key, and a later checkpoint lacks its signature: a replaced key was used again."
        ) from error
    return (
        True,
        f"A pinned key that the rotations here did not replace signed the checkpoint of {checkpoint.size} entries.",
    )
