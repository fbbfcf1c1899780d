"""What a request says about who it is for, and how much of that is believed.

Claims of a token that the application has verified are believed from anybody; headers and baggage only from trusted
peers, because at the public edge any caller can send them. Claims win over headers, headers over baggage.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from p402.instrumentation.attribution import label, of_request
from p402.instrumentation.peers import TrustedPeers
from p402.instrumentation.settings import trusted_peers_of
from p402.vocabulary import is_valid_id

__all__ = ["Claims", "Inbound"]

Claims = Callable[[str], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""Verifies a bearer token and gives its claims; raises if the token is not valid. May be a coroutine function."""

_logger = logging.getLogger("p402.instrumentation")
_BEARER = "bearer "
_propagator = W3CBaggagePropagator()


class Inbound:
    """The rules of one server.

    Args:
        headers: levels (or ``task_type``, ``data_class``) by names of headers, for example ``{"x-department": "department"}``.
        claims: verifies a token.
        claim_levels: levels (or ``task_type``, ``data_class``) by names of claims, for example ``{"sub": "employee"}``.
        trusted_peers: networks and addresses whose baggage and headers count; `P402_TRUSTED_PEERS` unless given.

    Raises:
        ValueError: if there is no such level, or a peer is no network.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None,
        claims: Claims | None,
        claim_levels: Mapping[str, str] | None,
        trusted_peers: Iterable[str] | None,
    ) -> None:
        self._headers = {name.lower(): label(level) for name, level in (headers or {}).items()}
        self._claims = claims
        self._claim_levels = {name: label(level) for name, level in (claim_levels or {}).items()}
        if trusted_peers is None:
            self._peers = trusted_peers_of(os.environ)
        else:
            self._peers = TrustedPeers.named(trusted_peers)

    async def context(self, peer: str | None, headers: Iterable[tuple[str, str]]) -> Context:
        """Make the context to answer a request in; the headers' names are in lower case."""
        received: dict[str, list[str]] = {}
        for name, value in headers:
            received.setdefault(name, []).append(value)
        said: dict[str, object] = {}
        if peer in self._peers:
            said |= baggage.get_all(_propagator.extract({"baggage": ",".join(received.get("baggage", ()))}, Context()))
            for name, attribute in self._headers.items():
                values = received.get(name, ())
                if len(values) == 1:  # of two, one may have come through the proxy from outside
                    said[attribute] = values[0]
        said |= await self._claimed(received.get("authorization", []))
        return of_request({name: str(value) for name, value in said.items() if _counts(name, value)})

    async def _claimed(self, authorization: list[str]) -> dict[str, object]:
        if self._claims is None or len(authorization) != 1 or not authorization[0].lower().startswith(_BEARER):
            return {}
        try:
            claims = self._claims(authorization[0][len(_BEARER) :].strip())
            verified: Mapping[str, Any] = await claims if inspect.isawaitable(claims) else claims
            return {attribute: verified.get(name) for name, attribute in self._claim_levels.items() if name in verified}
        except Exception as error:  # noqa: BLE001 - a token that is not valid is for the application to refuse
            _logger.debug("A token was not accepted (%s), so its claims attribute nothing.", type(error).__qualname__)
            return {}


def _counts(name: str, value: object) -> bool:
    try:
        return label(name.removeprefix("p402.")) == name and is_valid_id(value)
    except ValueError:
        return False
