"""Where to listen, and who reaches that."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

__all__ = ["Address"]

_ANY_HOST = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on, written ``127.0.0.1:4318`` or ``[::1]:4318``; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, value: object) -> Address:
        """Read an address; raises ValueError that says how one looks."""
        if isinstance(value, Address):
            return value
        host, separator, port = str(value).rpartition(":")
        if not (separator and host and port.isdigit() and int(port) < 65536):  # noqa: PLR2004 - ports have 16 bits
            raise ValueError(f"an address looks like 127.0.0.1:4318; got {value!r}")
        return cls(host.strip("[]"), int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def reaches(self, listen: Address) -> bool:
        """Tell whether who connects to this address reaches who listens on that one, as far as the addresses say."""
        if self.port != listen.port:
            return False
        here = listen.is_loopback or listen.host in _ANY_HOST
        return self.host == listen.host.lower() or (here and (self.is_loopback or self.host in _ANY_HOST))
