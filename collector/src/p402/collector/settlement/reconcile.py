"""Compares the chain with the ledger, both ways: every transfer with a memo that the payer made, and every final settlement.

It looks at blocks that can no longer vanish, and only at those before anything under way was signed, so that what it
looks at has come to its end on both sides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import structlog

from p402.collector.settlement.ports import Leadership, Settlement, SettlementState
from p402.collector.settlement.rules import PaymentPlace
from p402.exporters.prometheus import CollectorMetrics
from p402.receipts.errors import ChainUnavailable
from p402.receipts.settlement import MemoOnChain, Settler
from p402.vocabulary import Clock, P402Error

__all__ = ["Checked", "Discrepancy", "DiscrepancyKind", "SettlementReconciler", "compare"]

_EVERY = timedelta(days=1)
_POLL_SECONDS = 60.0
_MOST_BLOCKS = 2_000  # at once; what nodes answer at the least, they do not say
_LEAST_BLOCKS = 50

log = structlog.get_logger(__name__)


class DiscrepancyKind(StrEnum):
    """How chain and ledger can differ."""

    UNKNOWN_MEMO = "unknown_memo"
    """The payer made a transfer that no settlement asked for: somebody else uses its key, or the ledger lost a row."""
    DIFFERENT = "different"
    """The transfer has another payee or amount than the settlement."""
    PAID_TWICE = "paid_twice"
    """The settlement's transfer stands on the chain more than once."""
    NOT_FINAL = "not_final"
    """The chain has a settlement's transfer, and the ledger does not know: it is in doubt from then on."""
    MISSING = "missing"
    """The ledger calls a settlement final, and the chain does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One difference."""

    kind: DiscrepancyKind
    place: str
    """Transaction and log on the chain, or the settlement that is not there: with the kind, what it is known by."""
    memo: bytes
    problem: str
    settlement: Settlement | None
    tx_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a comparison came to."""

    first_block: int
    last_block: int
    """Less than the first: there was nothing new to compare."""
    transfers: int
    settlements: int
    found: tuple[Discrepancy, ...]


class ChainChecks(Protocol):
    """Where comparisons are kept."""

    async def next_blocks(self, place: PaymentPlace, finalized: int) -> tuple[int, int]:
        """Give the first and the last block that can be compared now."""
        ...

    async def last_checked_at(self, place: PaymentPlace) -> datetime | None:
        """Tell when the chain was compared last."""
        ...

    async def compare(
        self, place: PaymentPlace, first_block: int, last_block: int, transfers: Sequence[MemoOnChain], at: datetime
    ) -> Checked:
        """Compare a range with the ledger, keep what was found and tell of what is new, in one transaction."""
        ...


class SettlementReconciler:
    """Compares once a day, and when somebody asks."""

    def __init__(
        self, checks: ChainChecks, leadership: Leadership, settler: Settler, metrics: CollectorMetrics, clock: Clock
    ) -> None:
        self._checks = checks
        self._leadership = leadership
        self._settler = settler
        self._metrics = metrics
        self._clock = clock
        network = settler.network
        self.place = PaymentPlace(network.chain_id, network.token, settler.payer)

    async def run(self) -> None:
        """Compare every night, until cancelled."""
        while True:
            try:
                if await self._leadership.take() and await self._is_due():
                    await self.check()
            except P402Error as error:  # the settlement's worker says what to do about a wrong chain
                log.warning("settlement_reconciliation_waits", problem=str(error))
            await asyncio.sleep(_POLL_SECONDS)

    async def check(self) -> Checked:
        """Compare everything since the last time.

        Raises:
            ChainUnavailable: if the node is away; what was compared before stays compared.
            WrongChain: if the node serves another chain.
        """
        first, last = await self._checks.next_blocks(self.place, await self._settler.finalized())
        begin, parts, most = first, list[Checked](), _MOST_BLOCKS
        while begin <= last:
            end = min(begin + most - 1, last)
            try:
                transfers = await self._settler.transfers(begin, end)
            except ChainUnavailable:
                if most <= _LEAST_BLOCKS:
                    raise
                most //= 2  # nodes refuse ranges that are too long for them
                continue
            part = await self._checks.compare(self.place, begin, end, transfers, self._clock.now())
            parts.append(part)
            for discrepancy in part.found:
                self._metrics.settlement_discrepancy(discrepancy.kind)
                log.error("settlement_discrepancy", kind=discrepancy.kind, place=discrepancy.place)
            begin = end + 1
        return Checked(
            first_block=first,
            last_block=last,
            transfers=sum(part.transfers for part in parts),
            settlements=sum(part.settlements for part in parts),
            found=tuple(discrepancy for part in parts for discrepancy in part.found),
        )

    async def _is_due(self) -> bool:
        last = await self._checks.last_checked_at(self.place)
        return last is None or self._clock.now() >= last + _EVERY


def compare(
    transfers: Sequence[MemoOnChain], by_memo: dict[bytes, Settlement], final: Iterable[Settlement]
) -> list[Discrepancy]:
    """Compare a range of blocks with the ledger (pure).

    Args:
        transfers: everything that the chain has there.
        by_memo: the settlements with these memos, wherever they stand.
        final: the settlements that the ledger has there.
    """
    found = [it for on_chain in transfers if (it := _on_chain(on_chain, by_memo.get(on_chain.transfer.memo)))]
    there = {(it.transfer.memo, it.anchor.tx_hash, it.anchor.log_index) for it in transfers}
    in_transactions = {(memo, tx_hash) for memo, tx_hash, _ in there}
    for settlement in final:
        anchor = settlement.anchor
        assert anchor is not None, "a final settlement has an anchor"
        memo = settlement.transfer.memo
        paid = {(transfer.memo, anchor.tx_hash) for transfer in settlement.transfers}
        if (memo, anchor.tx_hash, anchor.log_index) not in there or not paid <= in_transactions:
            problem = (
                f"{settlement.settlement_id} is final by the ledger, but block {anchor.block_number} has no such transfer: "
                "check the node, and whether the database was restored."
            )
            place = settlement.settlement_id
            found.append(_discrepancy(DiscrepancyKind.MISSING, place, memo, problem, settlement, anchor.tx_hash))
    return found


def _on_chain(found: MemoOnChain, settlement: Settlement | None) -> Discrepancy | None:
    transfer, anchor = found.transfer, found.anchor
    place = f"{anchor.tx_hash}:{anchor.log_index}"
    what = f"a transfer of {transfer.amount_micro_usd} µUSD to {transfer.payee} (transaction {anchor.tx_hash})"
    if settlement is None:
        kind = DiscrepancyKind.UNKNOWN_MEMO
        problem = (
            f"The payer made {what} that no settlement asked for: see who else uses its key, and revoke that. After a "
            "restored backup it may be a settlement that the backup does not have."
        )
    elif transfer not in settlement.transfers:
        kind = DiscrepancyKind.DIFFERENT
        problem = f"The payer made {what} with the memo of {settlement.settlement_id}, which says otherwise."
    elif settlement.state is not SettlementState.FINAL:
        kind = DiscrepancyKind.NOT_FINAL
        problem = (
            f"{settlement.settlement_id} is {settlement.state} by the ledger, but the payer made {what}: "
            "say with `p402 settle resolve` that it was paid."
        )
    elif not _is_its_own(settlement, found):
        kind = DiscrepancyKind.PAID_TWICE
        problem = f"{settlement.settlement_id} was paid again by {what}: ask the payee to give it back."
    else:
        return None
    return _discrepancy(kind, place, transfer.memo, problem, settlement, anchor.tx_hash)


def _is_its_own(settlement: Settlement, found: MemoOnChain) -> bool:
    """Tell whether a transfer is the one that made a settlement final, or the payment beside it."""
    own, anchor = settlement.anchor, found.anchor
    if own is None or found.transfer.memo != settlement.transfer.memo:
        return own is None or own.tx_hash == anchor.tx_hash
    return (own.tx_hash, own.log_index) == (anchor.tx_hash, anchor.log_index)


def _discrepancy(
    kind: DiscrepancyKind, place: str, memo: bytes, problem: str, settlement: Settlement | None, tx_hash: str
) -> Discrepancy:
    return Discrepancy(kind=kind, place=place, memo=memo, problem=problem, settlement=settlement, tx_hash=tx_hash)
