"""Finds out why transfers cannot land, and says what to do about it.

The chain itself does not tell: a node accepts a transaction that an access key may not make and drops it silently, and
the receipt of a reverted one says only that it failed.
"""

from __future__ import annotations

from collections.abc import Sequence

from p402.receipts.errors import ChainUnavailable
from p402.receipts.settlement import Obstacle, ObstacleKind, TempoNetwork, Transfer
from p402.receipts.settlement._extra import TIP20, Call
from p402.receipts.settlement._node import TempoNode, word

__all__ = ["find_obstacle", "key_expiry", "remaining_limit", "transfer_call"]

_KEYCHAIN = "0xaaaaaaaa00000000000000000000000000000000"
_GET_KEY = "0xbc298553"  # getKey(address,address): signature type, key, expiry, enforces limits, is revoked
_GET_LIMIT = "0xa7f72cab"  # getRemainingLimitWithPeriod(address,address,address): remaining, end of the period

_ERRORS = {  # of TIP-20
    "0x54cfe659": "the token's policy forbids it (PolicyForbids): ask the token's issuer, or pay another address",
    "0xab35696f": "the token is paused (ContractPaused): wait until its issuer lets it go on",
    "0x9c8d2cd2": "the token takes no transfer to this address (InvalidRecipient): correct the payee",
}
_INSUFFICIENT_BALANCE = "0x832f98b5"


async def find_obstacle(
    node: TempoNode,
    network: TempoNetwork,
    payer: str,
    access_key: str | None,
    transfers: Sequence[Transfer],
    max_fee: int,
) -> Obstacle | None:
    """Look at the access key, its limits, the payer's balances, and what the token says to each transfer.

    Args:
        node: of the chain.
        network: its tokens.
        payer: who pays.
        access_key: address of the access key that signs; None when the payer's own key does.
        transfers: what cannot land.
        max_fee: the most that the transaction's gas may cost, in micro-dollars. That much is taken before it runs.
    """
    needs: dict[str, int] = {network.token: sum(transfer.amount_micro_usd for transfer in transfers)}
    needs[network.fees_in] = needs.get(network.fees_in, 0) + max_fee
    if access_key is not None:
        found = await _key_obstacle(node, payer, access_key, needs)
        if found is not None:
            return found
    for token, need in needs.items():
        held = await node.balance(token, payer)
        if held < need:
            return Obstacle(
                ObstacleKind.FUNDS,
                f"The payer {payer} holds {held} µUSD of the token {token} and needs {need}, fees included: send it "
                f"at least {need - held} more.",
            )
    for transfer in transfers:
        refusal = await _refusal(node, network.token, payer, transfer)
        if refusal is not None:
            return Obstacle(ObstacleKind.REFUSED, f"The transfer to {transfer.payee} is refused: {refusal}.")
    return None


def transfer_call(token: str, transfer: Transfer) -> Call:
    """Say to the token what is transferred."""
    return TIP20(token).transfer_with_memo(to=transfer.payee, amount=transfer.amount_micro_usd, memo=transfer.memo)


async def key_expiry(node: TempoNode, payer: str, access_key: str) -> int | None:
    """Give when an access key ends, in seconds since 1970; None if the account knows no such key or revoked it."""
    answer = (await node.call(_KEYCHAIN, _GET_KEY + word(payer) + word(access_key)))[2:]
    words = [int(answer[start : start + 64] or "0", 16) for start in range(0, 320, 64)]
    return words[2] if words[1] and not words[4] else None


async def remaining_limit(node: TempoNode, payer: str, access_key: str, token: str) -> tuple[int, int]:
    """Give what an access key may still spend of a token, and when its limit is refilled (0: never)."""
    answer = (await node.call(_KEYCHAIN, _GET_LIMIT + word(payer) + word(access_key) + word(token)))[2:]
    return int(answer[:64], 16), int(answer[64:128] or "0", 16)


async def _key_obstacle(node: TempoNode, payer: str, access_key: str, needs: dict[str, int]) -> Obstacle | None:
    expiry = await key_expiry(node, payer, access_key)
    remedy = "make a new one with `p402 settle setup-key`"
    if expiry is None:
        return Obstacle(ObstacleKind.KEY, f"{payer} has not authorised the access key {access_key}: {remedy}.")
    if expiry <= (await node.block("latest")).timestamp:
        return Obstacle(ObstacleKind.KEY, f"The access key {access_key} has expired: {remedy}.")
    for token, need in needs.items():
        left, _ = await remaining_limit(node, payer, access_key, token)
        if left < need:
            return Obstacle(
                ObstacleKind.LIMIT,
                f"The access key {access_key} may still spend {left} µUSD of the token {token} and needs {need}, the "
                f"highest fee included: wait until its limit is refilled, or {remedy} that may spend more.",
            )
    return None


async def _refusal(node: TempoNode, token: str, payer: str, transfer: Transfer) -> str | None:
    try:
        await node.call(token, "0x" + transfer_call(token, transfer).data.hex(), sender=payer)
    except ChainUnavailable as error:
        said = str(error)
        known = next((reason for selector, reason in _ERRORS.items() if selector in said), None)
        if known is not None or _INSUFFICIENT_BALANCE in said or "revert" in said:
            return known or said.removesuffix(".")
        raise
    return None
