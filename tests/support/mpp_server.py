"""Starts a payee that is paid by MPP, and tells what it was asked and shown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from p402.receipts.settlement import LOCAL
from support.anvil import Anvil
from support.collector import eventually
from support.environments import environment

PAYEE = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
_PROGRAM = Path(__file__).with_name("mpp_payee.py")


@dataclass(frozen=True)
class MppServer:
    """A payee at work."""

    url: str
    folder: Path

    def answers(self, begin: str = "") -> list[str]:
        """What it answered so far: ``asked`` or ``shown``, the path, the status; only what begins so."""
        lines = (self.folder / "answers").read_text().splitlines()[1:]
        return [line for line in lines if line.startswith(begin)]

    def leave(self, gate: str) -> None:
        """Be away behind ``/GATE/…`` from now on."""
        (self.folder / gate).touch()

    def come_back(self, gate: str) -> None:
        """Answer there again."""
        (self.folder / gate).unlink()


def _port(process: subprocess.Popen[bytes], folder: Path) -> str | None:
    assert process.poll() is None, "the payee ended before it said its port"
    return next(iter((folder / "answers").read_text().splitlines()), None)


@contextmanager
def mpp_server(node: Anvil, folder: Path) -> Iterator[MppServer]:
    """Run a payee on a node."""
    place = {"chain_id": LOCAL.chain_id, "token": LOCAL.token, "recipient": PAYEE}
    program = [str(environment("mpp") / "python"), str(_PROGRAM), node.url, json.dumps(place)]
    with (folder / "answers").open("w") as answers:
        process = subprocess.Popen(program, stdout=answers, cwd=folder)
        try:
            yield MppServer(f"http://127.0.0.1:{eventually(partial(_port, process, folder), 120)}", folder)
        finally:
            process.kill()
            process.wait()
