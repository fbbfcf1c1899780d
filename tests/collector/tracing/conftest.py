"""What is traced is traced on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.databases import each_database
from support.own_traces import TracesBackend, traces_backend

__all__ = ["each_database"]


@pytest.fixture
def backend() -> Iterator[TracesBackend]:
    with traces_backend() as running:
        yield running
