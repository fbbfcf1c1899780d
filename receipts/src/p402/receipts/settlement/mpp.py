"""Pays a payee that speaks MPP, the HTTP "Payment" scheme, in a way that its own verifier accepts.

An MPP server looks for a transfer whose memo is bound to its challenge; all 32 bytes are taken, so no memo of ours fits
in. The payment and a transfer of zero to the payer itself, which carries our memo, are therefore calls of one
transaction: both happen or neither, and the payee is shown the transaction's hash ("hash" credential). In MPP's pull mode,
where the server sends the transaction, extra calls are refused. Needs the extra ``p402-receipts[tempo]``.
"""

from __future__ import annotations

from p402.receipts.settlement import Transfer
from p402.receipts.settlement._extra import Web3

__all__ = ["mpp_memo", "mpp_payment", "mpp_source"]

_TAG = bytes.fromhex("ef1ed712")  # keccak-256 of "mpp", the first four bytes
_VERSION = b"\x01"


def mpp_memo(challenge_id: str, realm: str, client_id: str | None = None) -> bytes:
    """Write the memo that binds a transfer to a challenge of a server.

    Args:
        challenge_id: ``id`` of the challenge that is paid.
        realm: of the same challenge; the server's name.
        client_id: who pays, if the server is to see it; only its hash is written.
    """
    client = _fingerprint(client_id, 10) if client_id else bytes(10)
    return _TAG + _VERSION + _fingerprint(realm, 10) + client + _fingerprint(challenge_id, 7)


def mpp_payment(
    *,
    challenge_id: str,
    realm: str,
    payee: str,
    amount_micro_usd: int,
    payer: str,
    memo: bytes,
    client_id: str | None = None,
) -> tuple[Transfer, Transfer]:
    """Give the two transfers of one transaction: the payment for the challenge, and the anchor of a statement's memo."""
    payment = Transfer(mpp_memo(challenge_id, realm, client_id), payee, amount_micro_usd)
    return payment, Transfer(memo, payer, 0)


def mpp_source(chain_id: int, payer: str) -> str:
    """Give the credential's ``source``: the paying account as a DID."""
    return f"did:pkh:eip155:{chain_id}:{Web3.to_checksum_address(payer)}"


def _fingerprint(text: str, length: int) -> bytes:
    return bytes(Web3.keccak(text=text))[:length]
