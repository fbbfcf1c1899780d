"""A disk for a collector that can be made full and given space again.

Without privileges it is a bound on the size of every file of the process (RLIMIT_FSIZE), which makes every write fail, as
on a broken disk, those to the log included; where a file system may be mounted, it is one of a few megabytes that is
filled up.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FULL", "KINDS", "NO_WRITES", "Disk", "disk"]

_SIZE_MB = 16
_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@dataclass(frozen=True)
class Disk:
    """Where a collector may keep its data; both actions are told its process id."""

    folder: Path
    fill: Callable[[int], None]
    free: Callable[[int], None]


def _mounted(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MB}m", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def _bounded(folder: Path) -> Iterator[Disk]:
    def fill(process: int) -> None:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(process: int) -> None:
        resource.prlimit(process, resource.RLIMIT_FSIZE, _UNLIMITED)

    yield Disk(folder, fill, free)


@contextmanager
def _small(folder: Path) -> Iterator[Disk]:
    ballast = folder / "ballast"

    def fill(_: int) -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return

    assert _mounted(folder)
    try:
        yield Disk(folder, fill, lambda _: ballast.unlink())
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _may_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0


NO_WRITES, FULL = "no writes", "full file system"
KINDS = (NO_WRITES, FULL) if _may_mount() else (NO_WRITES,)


@contextmanager
def disk(kind: str, folder: Path) -> Iterator[Disk]:
    """Give a disk of this kind until the block ends."""
    folder.mkdir()
    with (_small if kind == FULL else _bounded)(folder) as made:
        yield made
