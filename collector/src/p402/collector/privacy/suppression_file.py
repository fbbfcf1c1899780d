"""The list of erased names outside of the database, so that a restored backup does not bring them back.

One line of JSON for each name, only ever added to: keyed digests and pseudonyms, no names.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from p402.vocabulary import Permanent

__all__ = ["SuppressedName", "SuppressionFile", "SuppressionFileUnusable"]


class SuppressionFileUnusable(Permanent):
    """The list of erased names cannot be read or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressedName:
    """One line of the list."""

    organisation: str
    kind: str
    """``person`` or ``session``."""
    place: bytes
    pseudonym: str
    erasure_id: str
    legal_basis: str
    at: int
    """Milliseconds."""


class SuppressionFile:
    """The list in a folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "suppressed.jsonl"

    def read(self) -> list[SuppressedName]:
        """Give all lines; one that was cut short by a crash was never acted upon.

        Raises:
            SuppressionFileUnusable: naming the line that cannot be read.
        """
        try:
            text = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
        except (OSError, ValueError) as error:
            raise SuppressionFileUnusable(f"The list of erased names {self._file} cannot be read: {error}.") from error
        return self._parsed(text)

    def _parsed(self, text: str) -> list[SuppressedName]:
        whole = text[: text.rfind("\n") + 1]
        found = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                found.append(
                    SuppressedName(**{**(fields := json.loads(line)), "place": bytes.fromhex(fields["place"])})
                )
            except (ValueError, KeyError, TypeError) as error:
                raise SuppressionFileUnusable(
                    f"Line {number} of the list of erased names {self._file} is damaged. Restore the file from where you "
                    "keep it: without it a restored database could bring erased names back."
                ) from error
        return found

    def add(self, names: Iterable[SuppressedName]) -> None:
        """Add a line for each place that has none, on disk when this returns.

        Raises:
            SuppressionFileUnusable: if they cannot be written.
        """
        by_place: dict[bytes, SuppressedName] = {}
        for name in names:
            by_place.setdefault(name.place, name)
        if not by_place:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # another collector of this folder may add lines too
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    os.ftruncate(descriptor, size - len(os.pread(descriptor, size, 0).rpartition(b"\n")[2]))
                known = {name.place for name in self._parsed(os.pread(descriptor, size, 0).decode("utf-8", "replace"))}
                lines = [
                    json.dumps({**asdict(name), "place": place.hex()}) + "\n"
                    for place, name in by_place.items()
                    if place not in known
                ]
                os.write(descriptor, "".join(lines).encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SuppressionFileUnusable(
                f"The list of erased names {self._file} cannot be written: {error}."
            ) from error
