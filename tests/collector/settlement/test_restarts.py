"""Wherever the collector stops, it goes on after a restart and settles once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from p402.collector.settlement.ports import SettlementState
from support.chain_twin import ChainTwin
from support.clock import FakeClock
from support.interruption import Fuse, Fused, Stopped
from support.settling import Settling, settling

pytestmark = pytest.mark.timeout(900)  # each opens some sixty databases


async def settle_with_a_stop(folder: Path, points: int, *, dies_first: bool) -> tuple[Fuse, ChainTwin]:
    """Settle one receipt; the power goes at a point, and comes back."""
    chain, clock, fuse = ChainTwin(loses_what_is_sent=dies_first), FakeClock(), Fuse(points)
    async with settling(folder, chain, clock) as at_work:
        await at_work.receipt()
        at_work.store, at_work.settler = Fused(at_work.store, fuse), Fused(at_work.settler, fuse)
        with suppress(Stopped):
            await drive(at_work)
    async with settling(folder, chain, clock) as at_work:
        await drive(at_work)
        await drive(at_work)
        settlement = await at_work.only()
        assert settlement.state is SettlementState.FINAL
        assert at_work.log() == ["session-receipt", "settlement"]
        assert at_work.books.rows("SELECT settlement_id FROM receipts") == [(settlement.settlement_id,)]
        assert at_work.books.rows("SELECT next_nonce FROM lanes") == [(1,)]
    return fuse, chain


async def drive(at_work: Settling) -> None:
    """Enough steps and blocks for one settlement, which may have to be signed twice."""
    for _ in range(3):
        await at_work.step()
        at_work.chain.block(seconds=130 if at_work.chain.loses_what_is_sent else 1)
        await at_work.step()
        at_work.chain.finalise()
        at_work.chain.loses_what_is_sent = False


async def test_a_stop_at_any_point_signs_once_and_settles_once(tmp_path: Path) -> None:
    for points in range(1, 200):
        (folder := tmp_path / str(points)).mkdir()
        fuse, chain = await settle_with_a_stop(folder, points, dies_first=False)
        assert [len(versions) for versions in chain.sent.values()] == [1], points
        assert len(chain.landed) == 1, points
        if not fuse.blew:
            break
    assert 20 < points < 199


async def test_a_stop_at_any_point_of_signing_again_settles_once(tmp_path: Path) -> None:
    for points in range(1, 200):
        (folder := tmp_path / str(points)).mkdir()
        fuse, chain = await settle_with_a_stop(folder, points, dies_first=True)
        [(place, versions)] = chain.sent.items()
        assert place == (1, 0), points
        assert len(versions) <= 2, points
        assert len(chain.landed) == 1, points
        if not fuse.blew:
            break
    assert 20 < points < 199
