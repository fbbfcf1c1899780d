"""The networks of Tempo that settlements can go to. Every value is a default for configuration to replace."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LOCAL", "MAINNET", "MODERATO", "TempoNetwork"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TempoNetwork:
    """Where and in what settlements are paid."""

    rpc_url: str
    chain_id: int
    token: str
    """A TIP-20 token in US dollars, in lower case. Its unit is the micro-dollar."""
    explorer_url: str | None
    fee_token: str | None = None
    """The token that fees are paid in; None: the token of the settlements."""
    max_fee_per_gas: int = 24_000_000_000
    """In 10⁻¹⁸ USD. Tempo's base fee is bounded by 1.2·10¹⁰ (TIP since T7); twice that never needs a fee oracle."""
    max_priority_fee_per_gas: int = 0
    gas_of_transaction: int = 600_000
    """Room for the first use of a lane and of an access key; what is unused is refunded."""
    gas_of_payee: int = 300_000
    """Room for each payee that never held the token."""
    gas_of_transfer: int = 40_000
    most_gas: int = 16_000_000
    """What one transaction may ask for."""

    @property
    def fees_in(self) -> str:
        """The token that fees are paid in."""
        return self.fee_token or self.token

    def explorer_tx_url(self, tx_hash: str) -> str | None:
        """Give the page of a transaction in the block explorer, if the network has one."""
        return None if self.explorer_url is None else f"{self.explorer_url.rstrip('/')}/tx/{tx_hash}"

    def explorer_address_url(self, address: str) -> str | None:
        """Give the page of an address in the block explorer, if the network has one."""
        return None if self.explorer_url is None else f"{self.explorer_url.rstrip('/')}/address/{address}"

    def gas_limit(self, transfers: int, payees: int) -> int:
        """Say how much gas a transaction may use, with so many transfers to so many different payees."""
        return self.gas_of_transaction + transfers * self.gas_of_transfer + payees * self.gas_of_payee


MAINNET = TempoNetwork(
    rpc_url="https://rpc.tempo.xyz",
    chain_id=4217,
    token="0x20c000000000000000000000b9537d11c60e8b50",  # noqa: S106 - USDC.e, an address
    explorer_url="https://explore.tempo.xyz",
)

MODERATO = TempoNetwork(
    rpc_url="https://rpc.moderato.tempo.xyz",
    chain_id=42431,
    token="0x20c0000000000000000000000000000000000000",  # noqa: S106 - pathUSD, an address
    explorer_url="https://explore.testnet.tempo.xyz",
)
"""The public test network."""

LOCAL = TempoNetwork(
    rpc_url="http://127.0.0.1:8545",
    chain_id=31337,
    token="0x20c0000000000000000000000000000000000001",  # noqa: S106 - AlphaUSD, which the development accounts hold, an address
    explorer_url=None,
    max_fee_per_gas=60_000_000_000,
)
"""``anvil --network tempo --hardfork T4 --slots-in-an-epoch 1`` on this machine."""
