"""A collector that listens on a free port of this process, so that a test holds its clock and its database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from p402.collector.address import Address
from p402.collector.app import Listening, serve
from p402.collector.settings import Settings
from p402.collector.wiring import Collector, build
from p402.vocabulary import Attribution
from support.clock import CountingIds, FakeClock
from support.collector import PROTOBUF
from support.databases import kept_in
from support.openapi import contract_of
from support.otlp import ASpan, request_of


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any
    """None unless the answer is JSON."""

    @property
    def media_type(self) -> str:
        """The type of the content, without parameters such as the character set."""
        return self.headers.get("Content-Type", "").partition(";")[0]


@dataclass(frozen=True)
class Server:
    """A collector at work."""

    url: str
    grpc: str
    """Address of OTLP/gRPC; "None" unless the settings switched it on."""
    collector: Collector
    clock: FakeClock
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send any request; the answer must be one that the OpenAPI document promises."""
        async with self.session.request(method, self.url + path, allow_redirects=False, **options) as response:
            body = await response.read()
            promised = contract_of(self.collector.app)
            promised.check(method, response.url.raw_path, response.status, response.content_type, body)
            is_json = "json" in response.content_type and "ndjson" not in response.content_type
            as_json = await response.json(content_type=None) if is_json and body else None
            return Answer(response.status, response.headers, body, as_json)

    async def get(self, path: str, key: str | None = None, **headers: str) -> Answer:
        """Ask for a path, with an API key or without."""
        return await self.ask("GET", path, headers={**bearer(key), **headers})

    async def send(self, *spans: ASpan, key: str | None = None) -> Answer:
        """Send spans as an exporter would."""
        return await self.export(request_of(spans), key)

    async def export(self, body: bytes, key: str | None = None, **headers: str) -> Answer:
        """Send the body of an export request."""
        return await self.ask("POST", "/v1/traces", data=body, headers={**PROTOBUF, **bearer(key), **headers})

    async def seal(self, session: str = "review-7", organisation: str = "acme") -> None:
        """Close a session and have its receipt made."""
        await self.collector.sealer.close(organisation, session)
        await self.collector.sealer.catch_up()

    async def key(self, *scopes: str, **bound_to: str) -> str:
        """Make an API key; gives its secret."""
        keys = self.collector.keys
        _, secret = await keys.create("test", frozenset(scopes), Attribution(**bound_to), self.clock.now())
        return secret


def bearer(key: str | None) -> dict[str, str]:
    """The header that shows a key."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def serving(data_dir: Path, **settings: Any) -> AsyncIterator[Server]:
    """Serve as ``p402 serve`` does; settings by their field names."""
    given: dict[str, Any] = {
        "session_close_grace_seconds": 0,
        "listen": Address("127.0.0.1", 0),
        "grpc_listen": None,
        **settings,
    }
    clock = FakeClock()
    given.setdefault("database_url", kept_in(data_dir).url)
    collector = build(Settings(data_dir=data_dir, **given), clock, CountingIds())
    listening: asyncio.Queue[Listening] = asyncio.Queue()
    stop = asyncio.Event()
    task = asyncio.create_task(
        serve(collector.app, collector.grpc, given["listen"], listening.put, stop, collector.tls)
    )
    try:
        at = await asyncio.wait_for(listening.get(), 20)
        async with aiohttp.ClientSession() as session:
            yield Server(at.url, str(at.grpc), collector, clock, session)
    finally:
        stop.set()
        await task
