"""ZIP archives that grow by whole files: parts can be written one after the other, and the directory at the end (pure).

Python's `zipfile` writes an archive in one go, or has to end it with a directory after each part. Files are stored as they
are: documents are compressed inside. Every size is known before, so that a reader that sees only parts finds the files.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from p402.vocabulary import Permanent

__all__ = ["ArchiveDamaged", "archive_directory", "archived"]

_LOCAL, _CENTRAL, _END, _END_64, _LOCATOR_64 = 0x04034B50, 0x02014B50, 0x06054B50, 0x06064B50, 0x07064B50
_UTF8 = 0x0800
_DATE = 0x21  # 1 January 1980, the earliest that ZIP knows: an archive of the same files has the same bytes
_VERSION, _VERSION_64 = 20, 45
_MOST_16, _MOST_32 = 0xFFFF, 0xFFFF_FFFF
_ELSEWHERE_32 = 0xFFFF_FFFF
_HEADER = struct.Struct("<IHHHHHIIIHH")


class ArchiveDamaged(Permanent):
    """What should be the files of an archive is something else."""


@dataclass(frozen=True, slots=True)
class _File:
    name: bytes
    crc: int
    size: int
    offset: int


def archived(name: str, data: bytes) -> bytes:
    """Write a file of less than 4 GiB as the next part of an archive."""
    encoded = name.encode()
    place = (_LOCAL, _VERSION, _UTF8, 0, 0, _DATE, zlib.crc32(data), len(data), len(data), len(encoded), 0)
    return _HEADER.pack(*place) + encoded + data


def archive_directory(archive: BinaryIO, end: int) -> bytes:
    """Write what comes after the files: of an archive that has files from its beginning to a place.

    Raises:
        ArchiveDamaged: if it has something else there.
    """
    files = _files(archive, end)
    directory = b"".join(map(_entry, files))
    count, size = len(files), len(directory)
    tail = b""
    if count >= _MOST_16 or end >= _MOST_32 or size >= _MOST_32:
        version = (_VERSION_64, _VERSION_64)
        tail = struct.pack("<IQHHIIQQQQ", _END_64, 44, *version, 0, 0, count, count, size, end)
        tail += struct.pack("<IIQI", _LOCATOR_64, 0, end + size, 1)
    shown = min(count, _MOST_16)
    tail += struct.pack("<IHHHHIIH", _END, 0, 0, shown, shown, _narrow(size), _narrow(end), 0)
    return directory + tail


def _narrow(number: int) -> int:
    """Give a number for 32 bits: itself, or what says that it stands elsewhere in 64."""
    return number if number < _MOST_32 else _ELSEWHERE_32


def _files(archive: BinaryIO, end: int) -> list[_File]:
    found, place = [], 0
    while place < end:
        archive.seek(place)
        header = archive.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise ArchiveDamaged("The archive ends within a file.")
        mark, *_, crc, size, _, name_size, _ = _HEADER.unpack(header)
        if mark != _LOCAL:
            raise ArchiveDamaged(f"At byte {place} of the archive no file begins.")
        found.append(_File(archive.read(name_size), crc, size, place))
        place += _HEADER.size + name_size + size
    if place != end:
        raise ArchiveDamaged("The last file of the archive is longer than what was written.")
    return found


def _entry(file: _File) -> bytes:
    wide = struct.pack("<HHQ", 1, 8, file.offset) if file.offset >= _MOST_32 else b""
    version = _VERSION_64 if wide else _VERSION
    said = (_CENTRAL, version, version, _UTF8, 0, 0, _DATE, file.crc, file.size, file.size, len(file.name), len(wide))
    place = (0, 0, 0, 0, _narrow(file.offset))
    return struct.pack("<IHHHHHHIIIHHHHHII", *said, *place) + file.name + wide
