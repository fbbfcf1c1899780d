"""What a failed settlement is told to have failed of, and what a person must do (pure)."""

from __future__ import annotations

from p402.collector.settlement.ports import Failure, FailureKind, KeptTransaction
from p402.receipts.settlement import Obstacle, ObstacleKind

__all__ = ["failure_of", "never_mined", "refused_price"]

_KINDS = {
    ObstacleKind.FUNDS: FailureKind.OUT_OF_FUNDS,
    ObstacleKind.LIMIT: FailureKind.OUT_OF_FUNDS,
    ObstacleKind.KEY: FailureKind.ACCESS_KEY,
    ObstacleKind.REFUSED: FailureKind.REVERTED,
}


def failure_of(obstacle: Obstacle | None, after: str = "") -> Failure:
    """Say why transfers did not land: what stood, or stands, in their way."""
    if obstacle is None:
        unknown = "Nothing stands in its way now, so its successor may land: if not, see what the explorer says of it, "
        return Failure(FailureKind.REVERTED, f"{after}{unknown}and whether the access key may pay this payee.")
    return Failure(_KINDS[obstacle.kind], after + obstacle.sentence)


def never_mined(transaction: KeptTransaction) -> Failure:
    """Say that a node takes a transaction and drops it."""
    return Failure(
        FailureKind.DROPPED,
        f"The node took transaction {transaction.signed.tx_hash} {transaction.attempt} times and never had it mined: check "
        "the node, and, if the payee is new, let `p402 settle setup-key` make an access key that may pay it.",
    )


def refused_price(base_fee_per_gas: int, max_fee_per_gas: int) -> Failure:
    """Say that gas is dearer than what may be paid."""
    return Failure(
        FailureKind.UNDERPRICED,
        f"Gas costs {base_fee_per_gas} attodollars, and at most {max_fee_per_gas} may be paid: raise "
        "P402_SETTLEMENT_MAX_FEE_PER_GAS, or wait until it is cheaper.",
    )
