"""One key for a log, without a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p402.receipts import Signer


@dataclass(frozen=True)
class OneKey:
    """Implements `storage.log_keys.AvailableKeys`."""

    newest: Signer

    @property
    def origin(self) -> str:
        return self.newest.origin

    def find(self, vkey: str) -> Signer | None:
        return self.newest if vkey == self.newest.verifier_key else None

    def all(self) -> Sequence[Signer]:
        return [self.newest]
