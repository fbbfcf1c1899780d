"""Sends events to a receiver of Standard Webhooks."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

import aiohttp

from p402.collector.channel_settings import EventType, WebhookSettings
from p402.collector.notifications.events import StoredEvent, webhook_body
from p402.collector.notifications.ports import Answer
from p402.collector.notifications.signature import signed_headers
from p402.collector.outbound import open_session, refuse_private_literal, why

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
            refuse_private_literal(self._url, allow_private=self._allow_private)
            async with self._client().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
                response.close()
        except TimeoutError:
            return Answer(f"no answer within {_TIMEOUT_SECONDS:.0f} seconds")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(why(error))
        if HTTPStatus(200) <= status < HTTPStatus(300):
            return Answer()
        return Answer(f"HTTP {status}", final=status == HTTPStatus.GONE)

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(_TIMEOUT_SECONDS, allow_private=self._allow_private)
        return self._session
