"""One node for the tests of a process; each test uses lanes and memos of its own, and mines what it needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.anvil import Anvil, anvil_node


@pytest.fixture(scope="session")
def node() -> Iterator[Anvil]:
    with anvil_node() as running:
        yield running
