"""A collector that settled before transactions were shared goes on where it was, and pays nothing twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from p402.collector.sessions.signing import LogSigners
from p402.collector.settlement.ports import FailureKind, SettlementState
from p402.collector.storage.migrate import _config, upgrade
from p402.collector.storage.settlements import SqlSettlements, settlements_page
from p402.receipts.settlement import Lane
from support.databases import Kept, kept_in
from support.open_books import open_database
from support.sample_log import sample_log, sample_statement

BEFORE = "0009"
SIGNED = {"nonce_key": "3", "nonce": 7, "valid_before": 200, "signed_at_block": 100, "raw_transaction": b"\x76raw"}
ANCHORED = {"block_number": 101, "block_hash": "0xbb", "block_timestamp": 150, "log_index": 2, "final_at": 9}
COLUMNS = ("id", "organisation", "state", "problem", "checkpoint_size", "statement", "memo", "tx_hash", "planned_at")


@pytest.fixture
def old(tmp_path: Path) -> Kept:
    """A database of the version before, with a settlement in every state."""
    kept = kept_in(tmp_path, migrated=False)
    backend = kept.backend()
    backend.prepare()
    with backend.engine.connect() as connection:
        backend.begin_migration(connection)
        command.upgrade(_config(connection), BEFORE)
        states = {"planned": {}, "signed": SIGNED, "final": SIGNED | ANCHORED, "failed": SIGNED}
        for number, (state, more) in enumerate(states.items()):
            statement = replace(sample_statement(sample_log(1)), settlement_id=f"stl_{state}")
            row = {
                "id": statement.settlement_id,
                "organisation": "acme",
                "state": state,
                "problem": "It was reverted." if state == "failed" else None,
                "checkpoint_size": 1,
                "statement": statement.canonical(),
                "memo": statement.memo(),
                "tx_hash": f"0x{state}" if more else None,
                "planned_at": number,
                **more,
            }
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO settlements ({names}) VALUES ({values})"), row)
        backend.commit(connection, ())
    backend.engine.dispose()
    return kept


async def test_settlements_of_every_state_are_kept(old: Kept, tmp_path: Path) -> None:
    assert upgrade(old.backend()) == BEFORE
    async with open_database(tmp_path) as database:
        store = SqlSettlements(database, LogSigners(tmp_path / "log.pem", "logs.example.com"))
        found = await database.read(lambda connection: settlements_page(connection, "acme", 10))
        by_state = {settlement.state: settlement for settlement in found}
        assert set(by_state) == set(SettlementState)
        [transaction] = await store.transactions()
        [carried] = transaction.settlements
        assert carried == by_state[SettlementState.SIGNED]
        signed = transaction.signed
        assert (signed.raw, signed.tx_hash, signed.nonce_key, signed.nonce) == (b"\x76raw", "0xsigned", 3, 7)
        assert (signed.valid_before, transaction.signed_at_block, transaction.attempt) == (200, 100, 1)
        [planned] = await store.planned()
        assert planned == by_state[SettlementState.PLANNED]
        anchor = by_state[SettlementState.FINAL].anchor
        assert anchor is not None
        assert (anchor.tx_hash, anchor.block_number, anchor.log_index) == ("0xfinal", 101, 2)
        failed = by_state[SettlementState.FAILED]
        assert (failed.failure, failed.problem) == (FailureKind.REVERTED, "It was reverted.")
        lanes = {key: Lane(key, 0) for key in (3, 4)}
        taken = await store.sign(
            [planned], lanes, lambda _, lane: replace(signed, nonce_key=lane.nonce_key), 1, planned.planned_at
        )
        assert taken is not None
        assert taken.signed.nonce_key == 4  # lane 3 still carries what was signed before
