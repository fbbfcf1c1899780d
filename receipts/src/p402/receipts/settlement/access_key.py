"""Lets an account authorise an access key that may settle and do nothing else (Tempo's AccountKeychain).

The key may call ``transferWithMemo`` of one token, to the payees and to its own account; it may spend so much a day, fees
included, and it ends. Needs the extra ``p402-receipts[tempo]``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex

from p402.receipts._statement import normalise_address
from p402.receipts.errors import ChainUnavailable, Malformed
from p402.receipts.settlement import TempoNetwork
from p402.receipts.settlement._extra import (
    AccountKeychain,
    CallScope,
    KeyRestrictions,
    SignatureType,
    TempoTransaction,
    TokenLimit,
)
from p402.receipts.settlement._node import TempoNode
from p402.receipts.settlement._obstacles import key_expiry, remaining_limit
from p402.receipts.settlement.tempo import TempoSettler, address_of_key

__all__ = ["AccessKeyStatus", "Authorisation", "access_key_status", "authorise", "new_key"]

_DAY = 86_400
_GAS = 8_000_000  # authorizeKey with two limits, a scope and recipients takes 3.8 million
_POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """What an access key may do."""

    payees: Sequence[str]
    """Who may be paid; the account itself always may, for anchors."""
    payments_micro_usd: int
    """The most that it may pay in a day."""
    fees_micro_usd: int
    """The most that fees may take in a day. The highest fee of each transaction is taken first, the rest given back."""
    expires_at: int
    """Seconds since 1970."""

    def limits(self, network: TempoNetwork) -> dict[str, int]:
        """Give the limit of each token; a key without a limit for its fee token could send nothing."""
        limits = {network.token: self.payments_micro_usd}
        limits[network.fees_in] = limits.get(network.fees_in, 0) + self.fees_micro_usd
        return limits


@dataclass(frozen=True, slots=True)
class AccessKeyStatus:
    """What the chain says about an access key."""

    expires_at: int | None
    """Seconds since 1970; None if the account does not know the key, or revoked it."""
    remaining: dict[str, tuple[int, int]]
    """By token: what may still be spent in micro-dollars, and when the limit is refilled."""


def new_key() -> str:
    """Make a private key."""
    return "0x" + token_hex(32)


async def authorise(
    network: TempoNetwork, root_key: str, access_key: str, authorisation: Authorisation, patience_seconds: float = 60.0
) -> str:
    """Let the root key's account authorise an access key, by its address; gives the transaction's hash.

    Raises:
        Malformed: if the transaction was reverted.
        ChainUnavailable: if it was not mined within the patience; nothing else can be said of it.
    """
    node = TempoNode(network)
    try:
        account = address_of_key(root_key)
        transaction = TempoTransaction.create(
            chain_id=network.chain_id,
            gas_limit=_GAS,
            max_fee_per_gas=network.max_fee_per_gas,
            max_priority_fee_per_gas=network.max_priority_fee_per_gas,
            nonce=await node.nonce(account, 0, "latest"),
            nonce_key=0,
            fee_token=network.fees_in,
            calls=(
                AccountKeychain.authorize_key(
                    key_id=access_key,
                    signature_type=SignatureType.SECP256K1,
                    restrictions=KeyRestrictions(
                        expiry=authorisation.expires_at,
                        limits=[
                            TokenLimit(token=token, limit=limit, period=_DAY)
                            for token, limit in authorisation.limits(network).items()
                        ],
                        allowed_calls=[
                            CallScope.transfer_with_memo(
                                target=network.token, recipients=sorted({account, *authorisation.payees})
                            )
                        ],
                    ),
                ),
            ),
        ).sign(root_key)
        return await _land(node, transaction, patience_seconds)
    finally:
        await node.close()


async def access_key_status(settler: TempoSettler) -> AccessKeyStatus | None:
    """Look an access key up; None if the settler signs with the payer's own key."""
    if settler.access_key is None:
        return None
    expires_at = await key_expiry(settler.node, settler.payer, settler.access_key)
    tokens = {settler.network.token, settler.network.fees_in} if expires_at is not None else set()
    remaining = {
        token: await remaining_limit(settler.node, settler.payer, normalise_address(settler.access_key), token)
        for token in sorted(tokens)
    }
    return AccessKeyStatus(expires_at, remaining)


async def _land(node: TempoNode, transaction: TempoTransaction, patience_seconds: float) -> str:
    tx_hash: str = "0x" + transaction.hash().hex()
    complaint = await node.send(transaction.encode())
    try:
        async with asyncio.timeout(patience_seconds):
            while (receipt := await node.receipt(tx_hash)) is None:  # noqa: ASYNC110 - a node is asked, nobody tells
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        said = f" The node said: {complaint}" if complaint else ""
        raise ChainUnavailable(f"Transaction {tx_hash} was not mined in {patience_seconds:.0f} s.{said}") from error
    if not receipt.succeeded:
        raise Malformed(f"Transaction {tx_hash} was reverted: the account did not authorise the key.")
    return tx_hash
