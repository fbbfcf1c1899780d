"""From the settings to the chain: which network, and who signs."""

from __future__ import annotations

from dataclasses import replace

from p402.collector.settings import Settings, SettingsInvalid
from p402.receipts import normalise_address
from p402.receipts.settlement import LOCAL, MAINNET, MODERATO, Settler, TempoNetwork
from p402.vocabulary import Permanent

__all__ = ["connect"]

_NETWORKS = {"mainnet": MAINNET, "moderato": MODERATO, "local": LOCAL}


def connect(settings: Settings) -> tuple[TempoNetwork, Settler]:
    """Give the network and the settler; nothing is asked of the chain yet.

    Raises:
        SettingsInvalid: if the key file or an address cannot be used.
    """
    # Imported here: the chain's libraries take most of a second, and a collector that settles nothing needs none.
    from p402.receipts.settlement.tempo import TempoSettler  # noqa: PLC0415

    network = _NETWORKS[settings.settlement_network]
    assert settings.settlement_key_file is not None, "the settings check that a mode other than off has a key"
    try:
        network = replace(
            network,
            rpc_url=settings.settlement_rpc_url or network.rpc_url,
            token=normalise_address(settings.settlement_token or network.token),
            explorer_url=settings.settlement_explorer_url or network.explorer_url,
        )
        return network, TempoSettler.from_key_file(network, settings.settlement_key_file)
    except (OSError, Permanent) as error:
        raise SettingsInvalid(f"P402_SETTLEMENT_KEY_FILE or P402_SETTLEMENT_TOKEN cannot be used: {error}") from error
