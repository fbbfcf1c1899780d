"""Books that are being settled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.settling import Settling, settling


@pytest.fixture
async def at_work(tmp_path: Path) -> AsyncIterator[Settling]:
    """One receipt, not yet anchored."""
    async with settling(tmp_path) as opened:
        await opened.receipt()
        yield opened
