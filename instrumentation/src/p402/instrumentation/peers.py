"""Which peers are trusted to say who a request is for, by their network address. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["TrustedPeers"]

_UNIX = "unix"


@dataclass(frozen=True, slots=True)
class TrustedPeers:
    """Networks whose members are believed; none, unless some are named."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False
    """Whether a peer without an address is believed: one on a Unix domain socket."""

    @classmethod
    def named(cls, names: Iterable[str]) -> TrustedPeers:
        """Read networks (``10.0.0.0/8``), addresses (``::1``) and the word ``unix``.

        Raises:
            ValueError: if one is none of these. Names of hosts are not taken: they would have to be looked up.
        """
        given = {name.strip() for name in names} - {""}
        try:
            networks = tuple(ip_network(name) for name in sorted(given - {_UNIX}))
        except ValueError as error:
            raise ValueError(f"A trusted peer is a network, an address, or {_UNIX}: {error}.") from None
        return cls(networks, _UNIX in given)

    def __contains__(self, address: str | None) -> bool:
        if not address:
            return self.unix
        try:
            known = ip_address(address)
        except ValueError:
            return False
        if isinstance(known, IPv6Address) and known.ipv4_mapped:  # how a socket for both shows IPv4
            known = known.ipv4_mapped
        return any(known in network for network in self.networks)
