"""Calls addresses that the configuration names, at public places only unless it says otherwise.

No redirect is followed, no proxy or cookie used. Where a place is, is checked when a name is resolved for the connection
itself, so that a name cannot answer differently a moment later.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import aiohttp
from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult

__all__ = [
    "AddressRefused",
    "PublicResolver",
    "callable_url",
    "is_public",
    "open_session",
    "refuse_private_literal",
    "why",
]

_REFUSED = "the address is not public; what is inside your network needs allow_private = true"
_LONGEST_HEADER = 32_768

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
            raise AddressRefused(_REFUSED)
        return found


def callable_url(url: str, what: str) -> str:
    """Give an address back if it is one that can be called; `what` is named if not.

    Raises:
        ValueError: saying what such an address looks like.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not url.isprintable():
        raise ValueError(f"{what}'s address looks like https://alerts.example.com/p402")
    if parts.username is not None or parts.fragment:
        raise ValueError(f"{what}'s address has no user, password or fragment")
    return url


def open_session(timeout_seconds: float, *, allow_private: bool) -> aiohttp.ClientSession:
    """Open what calls are made with; its `allow_redirects` must be off for each of them."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=None if allow_private else PublicResolver()),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        trust_env=False,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
    )


def refuse_private_literal(url: str, *, allow_private: bool) -> None:
    """Refuse an address in place of a name, which no resolver sees.

    Raises:
        AddressRefused: if it is not public.
    """
    try:
        refused = not allow_private and not is_public(urlsplit(url).hostname or "")
    except ValueError:
        return
    if refused:
        raise AddressRefused(_REFUSED)


def why(error: aiohttp.ClientError | OSError) -> str:
    """Say what went wrong, without the address: it may hold a secret."""
    if isinstance(error, AddressRefused):
        return str(error)
    cause = error.__cause__ if isinstance(error.__cause__, AddressRefused | socket.gaierror) else None
    if isinstance(cause, AddressRefused):
        return str(cause)
    if isinstance(error, aiohttp.InvalidURL):
        return "the address cannot be called as it is written"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name of the host cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(error, OSError) and error.strerror:
        return f"no connection: {error.strerror}"
    return f"no connection: {type(error).__name__}"
