"""What the collector's own log says of a request that failed: where, but not whose."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import text
from sqlalchemy.exc import StatementError
from structlog.testing import capture_logs

from p402.collector.api.problem import problem_middleware
from p402.collector.storage.sqlite import open_engine


async def failing(_: web.Request) -> web.Response:
    raise RuntimeError


async def test_a_failed_request_is_logged_by_its_route_and_not_by_the_names_in_its_path() -> None:
    app = web.Application(middlewares=[problem_middleware])
    app.router.add_get("/v1/sessions/{session}", failing)
    async with TestClient(TestServer(app)) as client:
        with capture_logs() as logged:
            assert (await client.get("/v1/sessions/ada.lovelace")).status == 500
    [line] = [line for line in logged if line["event"] == "request_failed"]
    assert line["route"] == "/v1/sessions/{session}"
    assert "ada.lovelace" not in str(line)


def test_an_error_of_the_database_does_not_say_what_was_asked_for(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "p402.sqlite3")
    with engine.connect() as connection, pytest.raises(StatementError) as told:
        connection.execute(text("SELECT :name FROM nowhere"), {"name": "ada.lovelace"})
    assert "ada.lovelace" not in str(told.value)
    engine.dispose()
