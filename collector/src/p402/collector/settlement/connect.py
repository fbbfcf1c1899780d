"""From the settings to the chain: which network, who signs, and how each organisation is settled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from p402.collector.settings import Settings, SettingsInvalid
from p402.collector.settlement.rules import SettlementRule, SettlementRules, Triggers
from p402.receipts import SettlementMode, normalise_address
from p402.receipts.settlement import LOCAL, MAINNET, MODERATO, TempoNetwork
from p402.vocabulary import Money, Permanent

if TYPE_CHECKING:
    from p402.receipts.settlement.tempo import TempoSettler

__all__ = ["connect", "network_of", "rules_of", "triggers_of"]

_NETWORKS = {"mainnet": MAINNET, "moderato": MODERATO, "local": LOCAL}


def connect(settings: Settings) -> TempoSettler:
    """Give the settler; nothing is asked of the chain yet.

    Raises:
        SettingsInvalid: if the key file or an address cannot be used.
    """
    # Imported here: the chain's libraries take most of a second, and a collector that settles nothing needs none.
    from p402.receipts.settlement.tempo import TempoSettler  # noqa: PLC0415

    assert settings.settlement_key_file is not None, "the settings check that a mode other than off has a key"
    try:
        network = network_of(settings)
        settler = TempoSettler.from_key_file(network, settings.settlement_key_file, settings.settlement_payer)
    except (OSError, Permanent) as error:
        raise SettingsInvalid(f"P402_SETTLEMENT_KEY_FILE or P402_SETTLEMENT_TOKEN cannot be used: {error}") from error
    if settler.payer in rules_of(settings).payees:
        raise SettingsInvalid(f"The payer {settler.payer} is also a payee: a payment to oneself pays nothing.")
    return settler


def network_of(settings: Settings) -> TempoNetwork:
    """Give the network that the settings name.

    Raises:
        Malformed: if the token is no address.
    """
    network = _NETWORKS[settings.settlement_network]
    return replace(
        network,
        rpc_url=settings.settlement_rpc_url or network.rpc_url,
        token=normalise_address(settings.settlement_token or network.token),
        fee_token=settings.settlement_fee_token,
        explorer_url=settings.settlement_explorer_url or network.explorer_url,
    )


def rules_of(settings: Settings) -> SettlementRules:
    """Give the rule of every organisation."""
    default = _rule(settings.settlement_mode, settings.settlement_payee, settings.settlement_minimum_payout_usd)
    own = {
        table.organisation: _rule(
            table.mode, table.payee, table.minimum_payout_usd, table.payee_url, allow_private=table.allow_private
        )
        for table in settings.settlement
    }
    return SettlementRules(default, own)


def triggers_of(settings: Settings) -> Triggers:
    """Give what makes a settlement due."""
    return Triggers(
        interval=timedelta(seconds=settings.settlement_interval_seconds),
        receipts=settings.settlement_receipts,
        accrued=Money.parse(f"{settings.settlement_accrued_usd:f}"),
    )


def _rule(
    mode: str, payee: str | None, minimum_payout: Decimal, payee_url: str | None = None, *, allow_private: bool = False
) -> SettlementRule | None:
    if mode == "off":
        return None
    return SettlementRule(SettlementMode(mode), payee, Money.parse(f"{minimum_payout:f}"), payee_url, allow_private)
