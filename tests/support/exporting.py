"""Exports as whoever asks for them sees them."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from typing import Any

from support.otlp import ASpan
from support.server import Answer, Server, bearer

SESSIONS: tuple[dict[str, Any], ...] = (
    {"p402.session": "s-1"},
    {"p402.session": "s-2"},
    {"p402.session": "s-3", "p402.client": "initech", "p402.employee": "e-7"},
    {"p402.session": "s-4", "p402.department": "sales", "p402.client": None},
    {"p402.session": "s-5", "gen_ai.request.model": "house-model", "gen_ai.response.model": "house-model"},
)


async def sealed_sessions(server: Server) -> None:
    """Send and seal the sessions, each of one call, and one of another organisation."""
    key = await server.key("ingest")
    spans = [ASpan.of(session) for session in SESSIONS]
    spans.append(ASpan.of({"p402.organisation": "initech", "p402.session": "s-9"}))
    assert (await server.send(*spans, key=key)).status == 200
    for session in SESSIONS:
        await server.seal(session["p402.session"])
    await server.seal("s-9", "initech")


async def ask(server: Server, key: str | None, organisation: str = "acme", **wanted: Any) -> Answer:
    """Ask for an export."""
    path = f"/v1/exports?organisation={organisation}"
    return await server.ask("POST", path, json=wanted, headers=bearer(key))


async def finished(server: Server, key: str | None, export_id: str) -> dict[str, Any]:
    """Wait until an export is done, or failed."""
    deadline = time.monotonic() + 30
    while True:
        export: dict[str, Any] = (await server.get(f"/v1/exports/{export_id}", key)).json
        if export["state"] not in {"queued", "running"}:
            return export
        assert time.monotonic() < deadline, export
        await asyncio.sleep(0.02)


async def exported(
    server: Server, key: str | None, organisation: str = "acme", **wanted: Any
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Have an export made; gives it with its files."""
    answer = await ask(server, key, organisation, **wanted)
    assert answer.status == 202, answer.body
    export = await finished(server, key, answer.json["export_id"])
    assert export["state"] == "done", export
    return export, {file["name"]: (await server.get(file["url"], key)).body for file in export["files"]}


def rows(data: bytes) -> list[dict[str, str]]:
    """The rows of a CSV file, by its headings."""
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
