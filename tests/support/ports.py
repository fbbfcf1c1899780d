"""Ports that stay free while a server on them is away."""

from __future__ import annotations

import itertools
import os
import socket

# Below the range from which systems take ports for outgoing connections (32768 on Linux), so that nothing takes the
# port between a stop and the next start. Each test process begins at another place.
_candidates = itertools.cycle(range(20_000, 32_000))
next(itertools.islice(_candidates, os.getpid() * 97 % 12_000, None))


def steady_port() -> int:
    """A port of this machine that a server can leave and take again."""
    for port in _candidates:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the candidates never end")
