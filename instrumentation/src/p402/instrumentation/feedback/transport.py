"""Speaks HTTP to the collector, with the standard library only: one kept connection for each thread."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlsplit

from opentelemetry.instrumentation.utils import suppress_instrumentation

__all__ = ["EventSource", "Transport", "Unknown", "Unreachable"]

_SECONDS = 2.0
"""For an answer. Whoever waits for it gives up long before; the answer is of use to those who come after."""
_SILENCE_SECONDS = 45.0
"""The stream says something every 15 seconds."""
_NOT_FOUND = 404
_MOST_BYTES = 16 * 1024 * 1024
_PIECE = 4096


class Unreachable(Exception):
    """The collector did not answer as it should."""


class Unknown(Exception):
    """The collector does not know what was named."""


class EventSource:
    """Bytes as they come, until somebody cuts them off."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._socket = connection.sock
        self._response = response

    def read(self) -> bytes:
        """Wait for what comes next; empty at the end."""
        try:
            return self._response.read1(_PIECE)
        except (OSError, http.client.HTTPException):
            return b""

    def cut(self) -> None:
        """End it, from another thread."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class Transport:
    """The way to one collector. Used by background threads only."""

    def __init__(self, base_url: str, api_key: str | None, certificate: str | None = None) -> None:
        self._at = urlsplit(base_url)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._certificate = certificate
        self._mine = threading.local()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send JSON and give the JSON that is answered.

        Raises:
            Unknown: if the answer is 404 about something that was named.
            Unreachable: if there is no proper answer.
        """
        data = json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json"}
        with suppress_instrumentation():
            status, answer = self._exchange(path, data, headers)
        if status == _NOT_FOUND:
            raise Unknown
        if status != http.client.OK:
            raise Unreachable(f"The collector answered {status}.")
        try:
            return json.loads(answer)
        except ValueError as error:
            raise Unreachable("The collector answered something else than JSON.") from error

    def forget(self) -> None:
        """Close the connection of this thread."""
        if (kept := getattr(self._mine, "connection", None)) is not None:
            kept.close()
            self._mine.connection = None

    def after_fork(self) -> None:
        """Use no connection of the parent."""
        self._mine = threading.local()

    @contextmanager
    def stream(self, path: str, query: Mapping[str, str]) -> Iterator[EventSource]:
        """Receive events while the block runs.

        Raises:
            Unreachable: if the answer is no stream.
        """
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        connection = self._connect(_SILENCE_SECONDS)
        try:
            try:
                with suppress_instrumentation():
                    target = self._at.path + path + (f"?{asked}" if asked else "")
                    connection.request("GET", target, headers={**self._headers, "Accept": "text/event-stream"})
                    response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(type(error).__name__) from error
            if response.status != http.client.OK:
                raise Unreachable(f"The collector answered {response.status}.")
            yield EventSource(connection, response)
            response.close()
        finally:
            connection.close()

    def _exchange(self, path: str, data: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        kept: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        connection = kept or self._connect(_SECONDS)
        self._mine.connection = connection
        try:
            connection.request("POST", self._at.path + path, data, dict(headers))
            response = connection.getresponse()
            answer = response.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._mine.connection = None
            if kept is not None and isinstance(error, ConnectionError):  # it had been closed while nobody used it
                return self._exchange(path, data, headers)
            raise Unreachable(type(error).__name__) from error
        if response.will_close:
            connection.close()
            self._mine.connection = None
        return response.status, answer

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        host, port = self._at.hostname or "", self._at.port
        if self._at.scheme == "https":
            secure = ssl.create_default_context(cafile=self._certificate)
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=secure)
        return http.client.HTTPConnection(host, port, timeout=timeout)
