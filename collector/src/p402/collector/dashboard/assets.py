"""The files that pages load: our style and script, and third-party scripts that were brought into the package at its build."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

__all__ = ["Asset", "Assets"]

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, read once."""

    body: bytes
    content_type: str
    version: str
    """Changes with the content; a part of the address, so that browsers may keep the file for ever."""


class Assets:
    """All files by name. Where the package was built without third-party scripts, those are missing and pages do without."""

    def __init__(self) -> None:
        folder = files("p402.collector").joinpath("dashboard/static")
        vendor = folder.joinpath("vendor")
        self._found = {name: _read(file) for name, file in (*_files(folder), *_files(vendor))}

    def get(self, name: str) -> Asset | None:
        """Give a file; None if there is none of this name."""
        return self._found.get(name)

    def address(self, name: str) -> str | None:
        """Give the address that a page loads a file from; None if the file is missing."""
        asset = self._found.get(name)
        return None if asset is None else f"/static/{name}?v={asset.version}"


def _files(folder: Traversable) -> list[tuple[str, Traversable]]:
    if not folder.is_dir():
        return []
    return [(file.name, file) for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES]


def _read(file: Traversable) -> Asset:
    body = file.read_bytes()
    return Asset(body, _TYPES[file.name.rpartition(".")[2]], hashlib.sha256(body).hexdigest()[:12])
