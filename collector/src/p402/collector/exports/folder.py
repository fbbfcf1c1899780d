"""The files of exports: a folder for each, readable by the collector alone.

A part is written at the place where the committed part before it ended, and synced, before it is committed itself. So a
crash leaves at most bytes that the next part overwrites. Whoever works in the folder holds its lock: two collectors that
both believe to lead for a moment do not write one file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from p402.collector.exports.archive import archive_directory
from p402.collector.exports.ports import Written
from p402.vocabulary import Permanent, Transient

__all__ = ["ExportFolder", "FilesGone", "FilesUnavailable"]

_CHUNK = 1024 * 1024
_LOCK = ".lock"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that ZIP knows: an archive of the same files has the same bytes


class FilesUnavailable(Transient):
    """Files of exports cannot be written or read now, as when the disk is full."""


class FilesGone(Permanent):
    """Committed parts of an export are not in this folder: another collector made them, or somebody removed them."""


class ExportFolder:
    """Where exports are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, export_id: str, name: str) -> Path:
        """Give the path of a file; both names are ours, never a caller's."""
        return self._folder / export_id / name

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the folder's lock until the block ends; gives whether it could be had.

        Raises:
            FilesUnavailable: when the folder cannot be written.
        """
        with _telling():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)

    def append(self, export_id: str, appends: Mapping[str, bytes], before: Mapping[str, Written]) -> None:
        """Write parts of files after what was committed of them.

        Raises:
            FilesGone: if that is not there.
            FilesUnavailable: when they cannot be written.
        """
        self.look_for(export_id, before)
        with _telling():
            self._make(export_id)
            for name, data in appends.items():
                known = before.get(name, Written())
                with _open(self.file(export_id, name)) as file:
                    file.seek(known.bytes)
                    file.write(data)
                    file.truncate()
                    file.flush()
                    os.fsync(file.fileno())

    def look_for(self, export_id: str, committed: Mapping[str, Written]) -> None:
        """See that what was committed of files is there.

        Raises:
            FilesGone: if it is not.
            FilesUnavailable: when the folder cannot be read.
        """
        with _telling():
            for name, known in committed.items():
                file = self.file(export_id, name)
                if not file.exists() or file.stat().st_size < known.bytes:
                    raise FilesGone(f"The file {name} of {export_id} is not what was committed of it.")

    def write(self, export_id: str, name: str, data: bytes) -> None:
        """Write a whole file.

        Raises:
            FilesUnavailable: when it cannot be written.
        """
        self.append(export_id, {name: data}, {})

    def digest(self, export_id: str, name: str) -> tuple[str, int]:
        """Give the SHA-256 of a file and its size.

        Raises:
            FilesUnavailable: when it cannot be read.
        """
        digest, size = hashlib.sha256(), 0
        with _telling(), self.file(export_id, name).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size

    def pack(self, export_id: str, archive: str, names: Sequence[str]) -> None:
        """Put files into a ZIP archive in their own folder.

        Raises:
            FilesUnavailable: when it cannot be written.
        """
        with _telling(), _open(self.file(export_id, archive)) as file:
            file.truncate()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
                for name in names:
                    entry = zipfile.ZipInfo(name, _ZIP_TIME)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    with packed.open(entry, "w", force_zip64=True) as into, self.file(export_id, name).open("rb") as of:
                        shutil.copyfileobj(of, into, _CHUNK)
            file.flush()
            os.fsync(file.fileno())

    def close_archive(self, export_id: str, name: str, end: int) -> None:
        """Write the directory of an archive after its files, which end at a place; doing it again changes nothing.

        Raises:
            ArchiveDamaged: if there are no such files.
            FilesUnavailable: when it cannot be written.
        """
        with _telling(), _open(self.file(export_id, name)) as file:
            directory = archive_directory(file, end)
            file.seek(end)
            file.write(directory)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())

    def keep_only(self, export_id: str, names: Collection[str]) -> None:
        """Remove what else there is of an export."""
        with _telling():
            for file in (self._folder / export_id).iterdir():
                if file.name not in names:
                    file.unlink()

    def remove(self, export_id: str) -> None:
        """Remove all files of an export."""
        shutil.rmtree(self._folder / export_id, ignore_errors=True)

    def remove_others(self, live: Collection[str]) -> None:
        """Remove what belongs to no export that is known."""
        if self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder.name not in live and folder.name != _LOCK:
                    shutil.rmtree(folder, ignore_errors=True)

    def bytes_used(self) -> int:
        """Add up the sizes of all files."""
        with _telling():
            return sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())

    def _make(self, export_id: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._folder / export_id).mkdir(exist_ok=True, mode=0o700)


def _open(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FilesUnavailable(f"Files of exports cannot be written or read: {error.strerror or error}.") from error
