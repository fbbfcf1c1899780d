"""A real Tempo node on this machine: foundry's anvil, one per test or session, on a port of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

DEV_KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
)
"""The keys that every anvil funds; everybody knows them."""

_LOCAL_BINARY = Path(__file__).parents[1] / "node_modules" / ".bin" / "anvil"
_START_SECONDS = 120.0
_PATIENCE_SECONDS = 60.0  # of a machine on which much else runs


@dataclass(frozen=True)
class Anvil:
    """A running node."""

    url: str

    def rpc(self, method: str, *params: Any) -> Any:
        """Call the node; fail with what it says."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = Request(self.url, body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=_PATIENCE_SECONDS) as response:
            answer = json.loads(response.read())
        assert "result" in answer, f"{method}: {answer}"
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        """Mine blocks at once; with three or more, what was pending before is final."""
        self.rpc("anvil_mine", hex(blocks))

    def advance(self, seconds: int) -> None:
        """Let the chain's clock jump, in a block."""
        self.rpc("evm_increaseTime", seconds)
        self.mine()


@contextmanager
def anvil_node(*, block_time: float | None = None) -> Iterator[Anvil]:
    """Run a node with Tempo's rules (hardfork T4); blocks come every `block_time` seconds, else only when mined."""
    binary = shutil.which("anvil") or str(_LOCAL_BINARY)
    assert Path(binary).exists(), f"anvil is missing: run `make install`, which puts it at {_LOCAL_BINARY}."
    port = _free_port()
    rules = ["--network", "tempo", "--hardfork", "T4", "--slots-in-an-epoch", "1"]
    mining = ["--no-mining"] if block_time is None else ["--block-time", str(block_time)]
    process = subprocess.Popen([binary, *rules, *mining, "--port", str(port), "--silent"], start_new_session=True)
    node = Anvil(f"http://127.0.0.1:{port}")
    try:
        _wait_until_up(node, process)
        yield node
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the npm package runs the binary as a child
        process.wait()


def _wait_until_up(node: Anvil, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, f"anvil ended with code {process.returncode} before it answered."
        try:
            node.rpc("eth_chainId")
        except OSError:
            assert time.monotonic() < deadline, f"anvil did not answer at {node.url} within {_START_SECONDS} s."
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
