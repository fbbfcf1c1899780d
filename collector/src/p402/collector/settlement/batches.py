"""Which settlements share a transaction (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from p402.collector.settlement.ports import Settlement
from p402.receipts.settlement import TempoNetwork

__all__ = ["MOST_TOGETHER", "batches", "shares"]

MOST_TOGETHER = 100


def batches(planned: Sequence[Settlement], network: TempoNetwork, payer: str) -> Iterator[tuple[Settlement, ...]]:
    """Put settlements into transactions: as many together as gas allows, and those alone that failed together."""
    batch: list[Settlement] = []
    payees: set[str] = set()
    for settlement in planned:
        if settlement.alone or settlement.mpp is not None:  # a payee takes a transaction for one payment only
            yield (settlement,)
            continue
        more = (payees | {settlement.statement.payee}) - {payer}
        fits = network.gas_limit(len(batch) + 1, len(more)) <= network.most_gas
        if batch and (len(batch) == MOST_TOGETHER or not fits):
            yield tuple(batch)
            batch, more = [], {settlement.statement.payee} - {payer}
        batch.append(settlement)
        payees = more
    if batch:
        yield tuple(batch)


def shares(fee_micro_usd: int, count: int) -> list[int]:
    """Split a transaction's fee among its settlements so that the parts add up; the first ones take what is left over."""
    part, rest = divmod(fee_micro_usd, count)
    return [part + (number < rest) for number in range(count)]
