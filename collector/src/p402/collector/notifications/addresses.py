"""Which addresses of the network a webhook may reach: public ones, unless the configuration says otherwise.

The check is made where a name is resolved for the connection itself, so that a name cannot answer differently a moment
later.
"""

from __future__ import annotations

import ipaddress
import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult

__all__ = ["AddressRefused", "PublicResolver", "is_public"]

_IPV4_INSIDE_IPV6 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: a gateway turns it into the IPv4 address


class AddressRefused(OSError):
    """A name resolves to an address that is not public."""


def is_public(address: str) -> bool:
    """Tell whether an address belongs to the public internet, by whatever notation of IPv6 it may be wrapped."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in _IPV4_INSIDE_IPV6:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


class PublicResolver(ThreadedResolver):
    """Resolves names as the system does, and refuses those with an address that is not public."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give the addresses of a host.

        Raises:
            AddressRefused: if one of them is not public.
        """
        found = await super().resolve(host, port, family)
        if not all(is_public(result["host"]) for result in found):
            raise AddressRefused("the address is not public; a webhook inside your network needs allow_private = true")
        return found
