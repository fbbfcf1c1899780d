"""Calls payees that speak MPP, at the addresses of the configuration."""

from __future__ import annotations

import json
from http import HTTPStatus

import aiohttp

from p402.collector.outbound import open_session, refuse_private_literal, why
from p402.collector.settlement.mpp import PayeeAnswer, PayeeAway

__all__ = ["MppClient"]

_TIMEOUT_SECONDS = 40.0  # a payee that is shown a payment may look for it for half a minute
_MOST_BYTES = 65_536
_MOST_SHOWN = 300
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


class MppClient:
    """Makes the calls. No redirect is followed, no proxy or cookie used, and little of an answer read."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def call(self, url: str, body: bytes, headers: dict[str, str], *, allow_private: bool) -> PayeeAnswer:
        """Send a POST.

        Raises:
            PayeeAway: saying what went wrong, without the address.
        """
        try:
            refuse_private_literal(url, allow_private=allow_private)
            session = self._session(allow_private=allow_private)
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                said = await response.content.read(_MOST_BYTES)
                status = response.status
                challenges = tuple(response.headers.getall("WWW-Authenticate", ()))
                receipt = response.headers.get("Payment-Receipt")
        except TimeoutError as error:
            raise PayeeAway(f"no answer within {_TIMEOUT_SECONDS:.0f} seconds") from error
        except (aiohttp.ClientError, OSError) as error:
            raise PayeeAway(why(error)) from error
        except ValueError as error:
            raise PayeeAway("its answer is no HTTP") from error
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
            raise PayeeAway(f"HTTP {status}")
        return PayeeAnswer(status, challenges, receipt, _problem(said))

    async def close(self) -> None:
        """Let go of connections."""
        for session in self._sessions.values():
            await session.close()

    def _session(self, *, allow_private: bool) -> aiohttp.ClientSession:
        if allow_private not in self._sessions:
            self._sessions[allow_private] = open_session(_TIMEOUT_SECONDS, allow_private=allow_private)
        return self._sessions[allow_private]


def _problem(body: bytes) -> str | None:
    """Give what a payee says is wrong (RFC 9457), so that it cannot forge a line of a log."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    detail = said.get("detail") or said.get("title") if isinstance(said, dict) else None
    return ascii(detail)[1:-1][:_MOST_SHOWN] if isinstance(detail, str) else None
