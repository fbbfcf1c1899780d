"""Books that are being settled, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.databases import each_database
from support.settling import Settling, settling

__all__ = ["at_work", "each_database"]


@pytest.fixture
async def at_work(tmp_path: Path) -> AsyncIterator[Settling]:
    """One receipt, not yet anchored."""
    async with settling(tmp_path) as opened:
        await opened.receipt()
        yield opened
