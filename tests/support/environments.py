"""Virtual environments for what cannot share ours: older SDKs, frameworks, other people's instrumentations and programs.

Each is a lock beside this folder (``tests/environments/NAME.txt``, made from ``NAME.in`` by ``make lock``), installed once
into ``tests/.environments`` and used again until the lock changes. Our own packages are put in as they are here; but not
where the first line of ``NAME.in`` is ``# python: 3.12``: that is somebody else's program, which needs this Python or a
newer one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "tests" / "environments"
MADE = ROOT / "tests" / ".environments"
OURS = ("receipts", "instrumentation")


def environment(name: str) -> Path:
    """Give the folder of an environment's programs (its ``bin``), making it if need be."""
    lock = LOCKS / f"{name}.txt"
    target = MADE / name
    wanted = wanted_python(name)
    python = sys.executable if wanted is None else interpreter(wanted)
    want = hashlib.sha256(lock.read_bytes() + _version(python).encode()).hexdigest()
    MADE.mkdir(exist_ok=True)
    with (MADE / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # tests run in parallel; one of them makes it
        stamp = target / "made-from"
        if not stamp.exists() or stamp.read_text() != want:
            subprocess.run([python, "-m", "venv", "--clear", str(target)], check=True)
            pip = [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(lock)], check=True)
            if wanted is None:
                folders = [argument for part in OURS for argument in ("-e", str(ROOT / part))]
                subprocess.run([*pip, "--no-deps", "--no-build-isolation", *folders], check=True)
            stamp.write_text(want)
    return target / "bin"


def wanted_python(name: str) -> str | None:
    """Give the Python that an environment needs, such as ``3.12``; None: ours will do."""
    found = re.match(r"# python: (3\.\d+)\n", (LOCKS / f"{name}.in").read_text())
    return None if found is None else found[1]


def interpreter(least: str) -> str:
    """Find an interpreter of a version, or of a newer one: on PATH, or among pyenv's."""
    for python in _interpreters(least):
        if _is_one(python, least):
            return python
    raise AssertionError(
        f"Python {least} or newer is needed, as `python{least}` on PATH or from `pyenv install {least}`."
    )


def _interpreters(least: str) -> Iterator[str]:
    first = int(least.partition(".")[2])
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for minor in range(first, first + 4):  # the one that was locked for comes first
        if (found := shutil.which(f"python3.{minor}")) is not None:
            yield found
        yield from map(str, sorted(versions.glob(f"3.{minor}.*/bin/python3")))
    yield sys.executable


def _is_one(python: str, least: str) -> bool:
    """Tell whether a program is such an interpreter; one of pyenv's shims need not be any."""
    try:
        return tuple(map(int, _version(python).split("."))) >= tuple(map(int, least.split(".")))
    except (OSError, subprocess.CalledProcessError):
        return False


def _version(python: str) -> str:
    command = [python, "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
