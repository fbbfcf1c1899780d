"""API keys as they are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from p402.collector.storage.keys import BindingInvalid, Keys, KeyUnknown, ScopeUnknown
from p402.vocabulary import Attribution
from support.clock import CountingIds, FakeClock
from support.open_books import open_database

NOW = FakeClock().now()
INGEST = frozenset({"ingest"})
NOBODY = Attribution()


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[Keys]:
    async with open_database(tmp_path) as database:
        yield Keys(database, CountingIds())


async def test_a_key_is_found_by_its_secret_alone(keys: Keys) -> None:
    bound_to = Attribution("acme", "legal", "contracts", "globex", "e-1042")
    key, secret = await keys.create("ci", INGEST, bound_to, NOW)
    assert await keys.find(secret) == key
    assert (key.scopes, key.bound_to, key.created_at, key.revoked_at) == (INGEST, bound_to, NOW, None)
    for wrong in ("", secret + "x", secret[:-1], secret.upper(), key.id, "\udcff"):
        assert await keys.find(wrong) is None


async def test_the_secret_is_not_in_the_database(keys: Keys, tmp_path: Path) -> None:
    _, secret = await keys.create("ci", INGEST, NOBODY, NOW)
    kept = await asyncio.to_thread(lambda: b"".join(file.read_bytes() for file in tmp_path.iterdir()))
    assert secret.encode() not in kept


async def test_a_revoked_key_is_useless_and_stays_listed(keys: Keys) -> None:
    key, secret = await keys.create("ci", INGEST, NOBODY, NOW)
    other, _ = await keys.create("other", INGEST, NOBODY, NOW)
    await keys.revoke(key.id, NOW)
    assert await keys.find(secret) is None
    assert [(found.id, found.revoked_at) for found in await keys.list()] == [(key.id, NOW), (other.id, None)]
    for gone in (key.id, "key_of_nobody"):
        with pytest.raises(KeyUnknown, match=gone):
            await keys.revoke(gone, NOW)


async def test_a_scope_that_does_not_exist_is_named_beside_those_that_do(keys: Keys) -> None:
    with pytest.raises(ScopeUnknown, match=r"No such scope: read\. There are: ingest, feedback, spend:read"):
        await keys.create("ci", frozenset({"read", "ingest"}), NOBODY, NOW)


@pytest.mark.parametrize("level", [{"organisation": ""}, {"department": " legal"}, {"employee": "x" * 257}])
async def test_a_key_is_not_bound_to_what_cannot_be_an_id(keys: Keys, level: dict[str, Any]) -> None:
    [name] = level
    with pytest.raises(BindingInvalid, match=f"The {name} that a key is bound to"):
        await keys.create("ci", INGEST, Attribution(**level), NOW)
    assert await keys.none_exist()
