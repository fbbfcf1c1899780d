"""A collector with sealed sessions of two organisations, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.databases import each_database
from support.exporting import sealed_sessions
from support.server import Server, serving

__all__ = ["each_database", "server"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Asks for keys. Acme has five sessions: three of legal for two clients, one of sales without a client, one without
    a price; initech has one."""
    async with serving(tmp_path, require_key=True) as running:
        await sealed_sessions(running)
        yield running
