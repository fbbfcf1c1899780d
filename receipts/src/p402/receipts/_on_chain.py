"""Checks that a settlement stands on its chain: the exact transfer, in a block that can no longer vanish."""

from __future__ import annotations

from datetime import UTC, datetime

from p402.receipts._chain import ChainReader
from p402.receipts._statement import Anchor, SettlementStatement
from p402.receipts._transfer import TRANSFER_WITH_MEMO, MemoTransfer, TransactionReceipt, address_topic
from p402.receipts.errors import AnchorRefuted, ChainUnavailable
from p402.vocabulary import rfc3339

__all__ = ["check_on_chain"]

_MPP = "0xef1ed71201"
"""What memos begin with that are bound to a challenge of MPP, version 1."""


def check_on_chain(
    statement: SettlementStatement,
    memo: bytes,
    anchor: Anchor,
    chain: ChainReader,
    *,
    payer: str | None = None,
    token: str | None = None,
) -> str:
    """Check an anchor against a node that the caller trusts, and say what stands there.

    Raises:
        AnchorRefuted: if the chain says something else, or payer or token are not those that the caller pins.
        ChainUnavailable: if the node does not answer or serves another chain, or the block is not finalized yet.
    """
    if (chain_id := chain.chain_id()) != statement.chain_id:
        raise ChainUnavailable(
            f"The settlement is for chain {statement.chain_id}, the node serves {chain_id}: give a node of that chain (--rpc)."
        )
    if payer is not None and statement.payer != payer:
        raise AnchorRefuted(f"The payer is {statement.payer}, not the pinned {payer}.")
    if token is not None and statement.token != token:
        raise AnchorRefuted(f"The token is {statement.token}, not the pinned {token}.")
    receipt = chain.receipt(anchor.tx_hash)
    if receipt is None or receipt.tx_hash != anchor.tx_hash:
        raise AnchorRefuted(f"The chain knows no transaction {anchor.tx_hash!a}.")
    _check_transfer(statement, memo, anchor, receipt)
    beside = _mpp_payment(statement, receipt)
    _check_block(anchor, chain)
    return (
        f"Finalized in block {anchor.block_number} of chain {chain_id} at {_when(anchor)}: {statement.payer} paid "
        f"{statement.payee} {statement.amount_micro_usd} µUSD in {statement.token}, transaction {receipt.tx_hash}.{beside}"
    )


def _check_transfer(statement: SettlementStatement, memo: bytes, anchor: Anchor, receipt: TransactionReceipt) -> None:
    transfer = MemoTransfer(
        token=statement.token,
        payer=statement.payer,
        payee=statement.payee,
        amount_micro_usd=statement.amount_micro_usd,
        memo=memo,
    )
    if (receipt.block_number, receipt.block_hash) != (anchor.block_number, anchor.block_hash):
        raise AnchorRefuted(f"The transaction is in block {receipt.block_number}, not where the bundle says.")
    if not receipt.succeeded:
        raise AnchorRefuted("The transaction was reverted: nothing was paid and no memo recorded.")
    if not any(log.index == anchor.log_index and transfer.is_proved_by(log) for log in receipt.logs):
        raise AnchorRefuted("The transaction holds no transfer with this token, payer, payee, amount and memo.")


def _mpp_payment(statement: SettlementStatement, receipt: TransactionReceipt) -> str:
    """Find the payment that the same transaction made in a way of MPP, if the statement says that it did."""
    if statement.mpp_payment is None:
        return ""
    payee, amount = statement.mpp_payment
    begin = (TRANSFER_WITH_MEMO, address_topic(statement.payer), address_topic(payee))
    for log in receipt.logs:
        its_memo = log.topics[3] if len(log.topics) == len(begin) + 1 else ""
        is_payment = log.address == statement.token and log.topics[:3] == begin and log.data == f"0x{amount:064x}"
        if is_payment and its_memo.startswith(_MPP):
            return f" The same transaction paid {payee} {amount} µUSD, for a challenge of MPP."
    raise AnchorRefuted(
        f"The transaction does not pay {payee} {amount} µUSD for a challenge of MPP, as the statement says."
    )


def _when(anchor: Anchor) -> str:
    try:
        return rfc3339(datetime.fromtimestamp(anchor.block_timestamp, UTC))
    except (ValueError, OverflowError, OSError) as error:
        raise AnchorRefuted(f"Block {anchor.block_number} is of a time that no calendar has.") from error


def _check_block(anchor: Anchor, chain: ChainReader) -> None:
    finalized = chain.block("finalized")
    if finalized is None or finalized.number < anchor.block_number:
        raise ChainUnavailable(f"Block {anchor.block_number} is not finalized yet: try again in a few seconds.")
    block = chain.block(anchor.block_number)
    if block is None:
        raise ChainUnavailable(f"The node does not give block {anchor.block_number}: ask another one.")
    if (block.hash, block.timestamp) != (anchor.block_hash, anchor.block_timestamp):
        raise AnchorRefuted(f"Block {anchor.block_number} of the chain is another one, or of another time.")
