"""Virtual environments for what cannot share ours: older SDKs, frameworks, other people's instrumentations.

Each is a lock beside this folder (``tests/environments/NAME.txt``, made from ``NAME.in`` by ``make lock``), installed once
into ``tests/.environments`` and used again until the lock changes. Our own packages are put in as they are here.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "tests" / "environments"
MADE = ROOT / "tests" / ".environments"
OURS = ("receipts", "instrumentation")


def environment(name: str) -> Path:
    """Give the folder of an environment's programs (its ``bin``), making it if need be."""
    lock = LOCKS / f"{name}.txt"
    target = MADE / name
    want = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    MADE.mkdir(exist_ok=True)
    with (MADE / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # tests run in parallel; one of them makes it
        stamp = target / "made-from"
        if not stamp.exists() or stamp.read_text() != want:
            venv.create(target, with_pip=True, clear=True)
            pip = [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(lock)], check=True)
            folders = [argument for part in OURS for argument in ("-e", str(ROOT / part))]
            subprocess.run([*pip, "--no-deps", "--no-build-isolation", *folders], check=True)
            stamp.write_text(want)
    return target / "bin"
