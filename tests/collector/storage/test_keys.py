"""API keys as they are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from p402.collector.storage.driver import driver
from p402.collector.storage.keys import BindingInvalid, Keys, KeyUnknown, ScopeUnknown
from p402.collector.storage.tables import api_keys
from p402.collector.storage.valid_keys import KeyRenamed, KeyRevoked, keys_changed, require_valid_key
from p402.vocabulary import Attribution
from support.changes import together
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


async def test_within_one_transaction_a_key_is_valid_until_it_is_revoked(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        keys = Keys(database, CountingIds())
        key, _ = await keys.create("ci", INGEST, NOBODY, NOW)

        def require(connection: Connection) -> None:
            require_valid_key(driver(connection), key.id, None)

        def revoke(connection: Connection) -> None:
            connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(revoked_at=1))
            keys_changed(driver(connection))

        def rename(connection: Connection) -> None:
            connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(employee="erased-1"))
            keys_changed(driver(connection))

        found = await together(database, require, require, rename, require, revoke, require)
    assert [type(one) for one in found if one is not None] == [KeyRenamed, KeyRevoked]
    assert found[:3] == [None, None, None]
