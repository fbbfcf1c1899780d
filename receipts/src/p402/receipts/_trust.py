"""What an auditor brings along, and which checkpoints it makes trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p402.receipts._chain import ChainReader
from p402.receipts._note import Checkpoint, PinnedKey, open_checkpoint
from p402.vocabulary import Permanent

__all__ = ["Opener", "Trust"]


@dataclass(frozen=True, slots=True)
class Trust:
    """What the auditor brings along; a bundle brings none of it."""

    verifier_keys: tuple[str | PinnedKey, ...]
    """Keys of the log (vkeys), obtained from its operator by another way than the bundle."""
    rpc: ChainReader | None = None
    """A node of the chain on which anchors must stand; without it anchors stay unchecked."""
    payer: str | None = None
    """The address that must have paid, in lower case; without it the report says who did."""
    token: str | None = None
    """The token that must have been paid in, likewise."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """States of the log that the auditor kept from earlier: the log here must begin with them."""
    complete: bool = False
    """Whether the bundle must be a range of the log that nothing is left out of."""


class Opener:
    """Opens signed checkpoints with the pinned keys, each once however many receipts share it."""

    def __init__(self, verifier_keys: Sequence[str | PinnedKey]) -> None:
        self.keys = verifier_keys
        self.opened: dict[str, Checkpoint | Permanent] = {}

    def open(self, note: str) -> Checkpoint:
        """Give the checkpoint; raise what `open_checkpoint` raises."""
        found = self.opened.get(note)
        if found is None:
            try:
                found = open_checkpoint(note, self.keys)
            except Permanent as error:
                found = error
            self.opened[note] = found
        if isinstance(found, Permanent):
            raise found
        return found
