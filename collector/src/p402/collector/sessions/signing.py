"""The keys that sign the checkpoints of every organisation's log: files, and nothing but files.

The first key is the file that the settings name, such as ``log.pem``. A rotation adds ``log-2.pem``, ``log-3.pem``, …
beside it. Which of them sign a log, and for how long, is said by the log itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from p402.receipts import Signer
from p402.vocabulary import Permanent

__all__ = ["KeysAtHand", "LogSigners", "SigningKeyUnusable"]


class SigningKeyUnusable(Permanent):
    """The file of a key that signs checkpoints cannot be read or written."""


class KeysAtHand:
    """The keys of this collector as signers of one organisation's log."""

    def __init__(self, signers: LogSigners, origin: str) -> None:
        self._signers = signers
        self._by_vkey: dict[str, Signer] = {}
        self._files: dict[Path, Signer] = {}
        self.origin = origin

    @property
    def newest(self) -> Signer:
        """The key that was made last; a new log begins with it."""
        return self.all()[-1]

    @property
    def verifier_key(self) -> str:
        """The public half of the newest key."""
        return self.newest.verifier_key

    def find(self, vkey: str) -> Signer | None:
        """Give the signer with a public half, None if its file is not here."""
        if vkey not in self._by_vkey:
            self.all()  # another process may have made it meanwhile
        return self._by_vkey.get(vkey)

    def all(self) -> Sequence[Signer]:
        """Give every key whose file is here, the oldest first."""
        for file in self._signers.files():
            if file not in self._files:
                signer = self._files[file] = self._signers.read(file, self.origin)
                self._by_vkey[signer.verifier_key] = signer
        return [self._files[file] for file in self._signers.files()]


class LogSigners:
    """The files of the keys, and one origin (the name of a log) for each organisation."""

    def __init__(self, file: Path, receipt_origin: str) -> None:
        self._file = file
        self._receipt_origin = receipt_origin
        self._known: dict[str, KeysAtHand] = {}

    def make_key_if_missing(self) -> bool:
        """Make the first key on a first start; tells whether it did.

        Raises:
            Permanent: if a key cannot be made or used, so that nobody learns it from the first receipt.
        """
        try:
            missing = not self._file.exists()
            if missing:
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with suppress(FileExistsError):  # another collector that starts with us was faster
                    Signer.generate(self._receipt_origin).save(self._file)
        except OSError as error:
            raise SigningKeyUnusable(f"The signing key {self._file} cannot be read or made: {error}.") from error
        for file in self.files():
            self.read(file, self._receipt_origin)
        return missing

    def make_next_key(self) -> Path:
        """Make one more key, beside the others; gives its file.

        Raises:
            SigningKeyUnusable: if it cannot be written.
        """
        number = max(self._number(file) for file in self.files()) + 1
        file = self._file.with_name(f"{self._file.stem}-{number}{self._file.suffix}")
        try:
            Signer.generate(self._receipt_origin).save(file)
        except OSError as error:
            raise SigningKeyUnusable(f"The signing key {file} cannot be made: {error}.") from error
        return file

    def files(self) -> list[Path]:
        """Give the files of the keys, the oldest key first."""
        later = self._file.parent.glob(f"{self._file.stem}-*{self._file.suffix}")
        return sorted([self._file, *(file for file in later if self._number(file) > 1)], key=self._number)

    def read(self, file: Path, origin: str) -> Signer:
        """Read a key as the signer of a log.

        Raises:
            SigningKeyUnusable: if the file cannot be read.
            Malformed: if it holds no key.
        """
        try:
            return Signer.from_file(file, origin)
        except OSError as error:
            raise SigningKeyUnusable(f"The signing key {file} cannot be read or made: {error}.") from error

    def signer(self, organisation: str) -> KeysAtHand:
        """Give the keys for an organisation's log; its origin is ``<receipt origin>/org/<organisation>``."""
        known = self._known.get(organisation)
        if known is None:
            known = KeysAtHand(self, f"{self._receipt_origin}/org/{quote(organisation, safe='')}")
            self._known[organisation] = known
        return known

    def _number(self, file: Path) -> int:
        """Number the files: 1 is the first, others say it in their names; 0 is none of ours."""
        if file == self._file:
            return 1
        number = re.fullmatch(re.escape(self._file.stem) + r"-([1-9][0-9]{0,8})", file.stem)
        return int(number[1]) if number else 0
