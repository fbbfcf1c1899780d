"""Sends events to a receiver of Standard Webhooks."""

from __future__ import annotations

import socket
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from p402.collector.channel_settings import EventType, WebhookSettings
from p402.collector.notifications.addresses import AddressRefused, PublicResolver, is_public
from p402.collector.notifications.events import StoredEvent, webhook_body
from p402.collector.notifications.ports import Answer
from p402.collector.notifications.signature import signed_headers

__all__ = ["Webhook"]

_TIMEOUT_SECONDS = 10.0


class Webhook:
    """One receiver. No redirect is followed, no proxy or cookie used, no answer read beyond its status."""

    at_once = 10

    def __init__(self, settings: WebhookSettings) -> None:
        """Read the secrets.

        Raises:
            ValueError, OSError: if the secret file is not as it must be.
        """
        self.name = settings.name
        self.subscribed: frozenset[EventType] = settings.subscribed
        self._url = settings.url
        self._secrets = settings.read_secrets()
        self._allow_private = settings.allow_private
        self._session: aiohttp.ClientSession | None = None

    async def send(self, event: StoredEvent, at: datetime) -> Answer:
        """Send an event once."""
        body = webhook_body(event)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "p402-collector",
            **signed_headers(event.event_id, at, body, self._secrets),
        }
        try:
            self._refuse_private_literal()
            async with self._client().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
                response.close()
        except TimeoutError:
            return Answer(f"no answer within {_TIMEOUT_SECONDS:.0f} seconds")
        except AddressRefused as error:
            return Answer(str(error))
        except (aiohttp.ClientError, OSError) as error:
            return Answer(_why(error))
        if HTTPStatus(200) <= status < HTTPStatus(300):
            return Answer()
        return Answer(f"HTTP {status}", final=status == HTTPStatus.GONE)

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=None if self._allow_private else PublicResolver()),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
                trust_env=False,
            )
        return self._session

    def _refuse_private_literal(self) -> None:
        """Refuse an address in place of a name, which no resolver sees."""
        host = urlsplit(self._url).hostname or ""
        try:
            refused = not self._allow_private and not is_public(host)
        except ValueError:
            return
        if refused:
            raise AddressRefused("the address is not public; a webhook inside your network needs allow_private = true")


def _why(error: aiohttp.ClientError | OSError) -> str:
    """Say what went wrong, without the address: it may hold a secret."""
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
