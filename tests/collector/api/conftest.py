"""A collector with one anchorless receipt in two organisations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.otlp import ASpan
from support.server import Server, serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Open to everybody on this machine; empty."""
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Server]:
    """Asks for keys; with a sealed session of acme's legal department and one of initech."""
    async with serving(tmp_path, require_key=True) as running:
        key = await running.key("ingest")
        await running.send(ASpan(), ASpan.of({"p402.organisation": "initech", "p402.session": "s-9"}), key=key)
        await running.seal()
        await running.seal("s-9", "initech")
        yield running
