"""The key that signs the checkpoints of every organisation's log."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from p402.receipts import Signer
from p402.vocabulary import Permanent

__all__ = ["LogSigners", "SigningKeyUnusable"]


class SigningKeyUnusable(Permanent):
    """The file of the key that signs checkpoints cannot be read or written."""


class LogSigners:
    """One key, and one origin (the name of a log) for each organisation."""

    def __init__(self, file: Path, receipt_origin: str) -> None:
        self._file = file
        self._receipt_origin = receipt_origin
        self._signers: dict[str, Signer] = {}

    def make_key_if_missing(self) -> bool:
        """Make the key on a first start; tells whether it did.

        Raises:
            Permanent: if the key cannot be made or used, so that nobody learns it from the first receipt.
        """
        try:
            missing = not self._file.exists()
            if missing:
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with suppress(FileExistsError):  # another collector that starts with us was faster
                    Signer.generate(self._receipt_origin).save(self._file)
            Signer.from_file(self._file, self._receipt_origin)
        except OSError as error:
            raise SigningKeyUnusable(f"The signing key {self._file} cannot be read or made: {error}.") from error
        return missing

    def signer(self, organisation: str) -> Signer:
        """Give the signer of an organisation's log; its origin is ``<receipt origin>/org/<organisation>``."""
        known = self._signers.get(organisation)
        if known is None:
            known = Signer.from_file(self._file, f"{self._receipt_origin}/org/{quote(organisation, safe='')}")
            self._signers[organisation] = known
        return known
