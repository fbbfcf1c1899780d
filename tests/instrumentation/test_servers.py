"""Attribution of what servers do: whose word counts, over real connections of uvicorn and of aiohttp."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from aiohttp import WSMsgType, web
from aiohttp.test_utils import make_mocked_request
from fastapi import BackgroundTasks, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from p402.instrumentation import attribution, current_attribution
from p402.instrumentation.attribution import labels
from p402.instrumentation.peers import TrustedPeers
from p402.instrumentation.servers.aiohttp import attribution_middleware
from p402.instrumentation.servers.asgi import AttributionMiddleware
from p402.vocabulary import Attribution
from support.metering import Llm, Spans, metered, served, until

BAGGAGE = {"baggage": "p402.department=sales,p402.employee=e-9,other=1"}
HERE = frozenset({"127.0.0.0/8"})
Rules = Mapping[str, Any]
Serve = Callable[[Rules], Any]


def _seen() -> dict[str, Any]:
    """What a handler knows: its attribution, and what would travel on to the next service."""
    onward: dict[str, str] = {}
    propagate.inject(onward)
    return {"labels": labels(), "onward": onward.get("baggage", "")}


@asynccontextmanager
async def _asgi(rules: Rules) -> AsyncIterator[str]:  # noqa: C901 - a list of routes
    app = FastAPI()
    app.add_middleware(AttributionMiddleware, **rules)
    later: list[dict[str, str]] = []

    @app.get("/")
    async def plain() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return _seen()

    @app.get("/sync")
    def sync() -> dict[str, Any]:  # in a thread
        return _seen()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            for _ in range(3):
                await asyncio.sleep(0.005)
                yield labels().get("p402.department", "-") + "\n"

        return StreamingResponse(lines())

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> None:
        async def work() -> None:
            later.append(labels())

        tasks.add_task(work)

    @app.get("/later")
    async def what_happened_later() -> list[dict[str, str]]:
        return later

    @app.websocket("/socket")
    async def socket(connection: WebSocket) -> None:
        await connection.accept()
        await connection.send_json(labels())
        await connection.close()

    @app.get("/failing")
    async def failing() -> None:
        raise RuntimeError("of the application")

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="websockets-sansio"))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def _aiohttp(rules: Rules) -> AsyncIterator[str]:
    async def plain(_: web.Request) -> web.Response:
        await asyncio.sleep(0.01)
        return web.json_response(_seen())

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3):
            await asyncio.sleep(0.005)
            await response.write(labels().get("p402.department", "-").encode() + b"\n")
        return response

    async def socket(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        await connection.send_json(labels())
        await connection.close()
        return connection

    async def failing(_: web.Request) -> web.Response:
        raise web.HTTPInternalServerError

    application = web.Application(middlewares=[attribution_middleware(**rules)])
    application.router.add_get("/", plain)
    application.router.add_get("/stream", stream)
    application.router.add_get("/socket", socket)
    application.router.add_get("/failing", failing)
    async with served(application) as url:
        yield url


@pytest.fixture(params=[_asgi, _aiohttp], ids=["asgi", "aiohttp"])
def serve(request: pytest.FixtureRequest) -> Serve:
    made: Serve = request.param
    return made


@pytest.fixture(autouse=True)
def _nothing_stays_attached(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert "detach" not in caplog.text
    assert current_attribution() == Attribution()


async def _get(url: str, headers: Any = BAGGAGE) -> Any:
    async with httpx.AsyncClient() as client:
        return (await client.get(url, headers=headers)).json()


async def test_anybodys_baggage_is_ignored_and_does_not_travel_on(serve: Serve) -> None:
    async with serve({}) as url:
        assert await _get(url) == {"labels": {}, "onward": ""}


async def test_baggage_of_a_trusted_peer_counts_and_travels_on(serve: Serve) -> None:
    async with serve({"trusted_peers": HERE}) as url:
        seen = await _get(url)
    assert seen["labels"] == {"p402.department": "sales", "p402.employee": "e-9"}
    assert sorted(seen["onward"].split(",")) == ["p402.department=sales", "p402.employee=e-9"]


@pytest.mark.parametrize(("peers", "department"), [("127.0.0.1, 10.0.0.0/8", "sales"), ("10.0.0.0/8", None)])
async def test_the_environment_names_trusted_peers(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, peers: str, department: str | None
) -> None:
    monkeypatch.setenv("P402_TRUSTED_PEERS", peers)
    async with serve({}) as url:
        assert (await _get(url))["labels"].get("p402.department") == department


async def test_a_header_counts_from_a_trusted_peer_only(serve: Serve) -> None:
    rules = {"headers": {"X-Department": "department", "X-Task": "task_type"}}
    sent = {"x-department": "legal", "x-task": "review"}
    async with serve({**rules, "trusted_peers": HERE}) as url:
        assert (await _get(url, sent))["labels"] == {"p402.department": "legal", "p402.task_type": "review"}
    async with serve(rules) as url:
        assert (await _get(url, sent))["labels"] == {}


@pytest.mark.parametrize("value", ["", "a\tb", "x" * 257])
async def test_a_header_that_is_no_id_counts_as_nothing_said(serve: Serve, value: str) -> None:
    async with serve({"headers": {"x-department": "department"}, "trusted_peers": HERE}) as url:
        assert (await _get(url, {"x-department": value}))["labels"] == {}


async def test_a_header_that_comes_twice_is_not_believed(serve: Serve) -> None:
    async with serve({"headers": {"x-department": "department"}, "trusted_peers": HERE}) as url:
        assert (await _get(url, [("x-department", "mine"), ("x-department", "legal")]))["labels"] == {}


def _verify(token: str) -> Mapping[str, Any]:
    if token != "good":
        raise ValueError("not signed by us: " + token)
    return {"sub": "e-7", "dept": "legal", "admin": True, "n": 7}


async def _verify_async(token: str) -> Mapping[str, Any]:
    await asyncio.sleep(0)
    return _verify(token)


@pytest.mark.parametrize("verify", [_verify, _verify_async])
async def test_verified_claims_count_from_anybody_and_win(serve: Serve, verify: Any) -> None:
    rules = {"claims": verify, "claim_levels": {"sub": "employee", "dept": "department", "n": "project"}}
    async with serve({**rules, "trusted_peers": HERE}) as url:
        seen = await _get(url, {**BAGGAGE, "authorization": "Bearer good"})
        assert seen["labels"] == {"p402.department": "legal", "p402.employee": "e-7"}  # 7 is no text
    async with serve(rules) as url:
        seen = await _get(url, {**BAGGAGE, "authorization": "bearer good"})
        assert seen["labels"] == {"p402.department": "legal", "p402.employee": "e-7"}


async def test_a_token_that_is_not_valid_attributes_nothing_and_is_not_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "p402.instrumentation")
    async with serve({"claims": _verify, "claim_levels": {"sub": "employee"}}) as url:
        assert (await _get(url, {"authorization": "Bearer forged"}))["labels"] == {}
        assert (await _get(url, {"authorization": "Basic Z29vZA=="}))["labels"] == {}
    assert "forged" not in caplog.text


async def test_streams_are_attributed_to_their_end(serve: Serve) -> None:
    async with serve({"trusted_peers": HERE}) as url, httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/stream", headers=BAGGAGE)).text == "sales\n" * 3
        assert (await client.get(f"{url}/stream")).text == "-\n" * 3  # the next one on the same connection


async def test_a_stream_that_the_caller_drops_leaves_nothing_behind(serve: Serve) -> None:
    async with serve({"trusted_peers": HERE}) as url:
        async with httpx.AsyncClient() as client, client.stream("GET", f"{url}/stream", headers=BAGGAGE):
            pass
        assert (await _get(url, {}))["labels"] == {}


async def test_failures_pass_through(serve: Serve) -> None:
    async with serve({"trusted_peers": HERE}) as url, httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/failing", headers=BAGGAGE)).status_code == 500
        assert (await client.get(url)).json()["labels"] == {}


async def test_requests_at_the_same_time_do_not_see_each_other(serve: Serve) -> None:
    async with serve({"trusted_peers": HERE}) as url:
        sent = [f"p402.employee=e-{number}" for number in range(20)]
        seen = await asyncio.gather(*(_get(url, {"baggage": one}) for one in sent))
    assert [one["onward"] for one in seen] == sent


async def test_websockets(serve: Serve) -> None:
    import aiohttp  # noqa: PLC0415 - only here

    async with serve({"trusted_peers": HERE}) as url, aiohttp.ClientSession() as client:
        connection = await client.ws_connect(f"{url}/socket", headers=BAGGAGE)
        message = await connection.receive()
        assert message.type is WSMsgType.TEXT
        assert message.json() == {"p402.department": "sales", "p402.employee": "e-9"}
        await connection.close()


async def test_threads_and_background_tasks_of_an_asgi_application() -> None:
    async with _asgi({"trusted_peers": HERE}) as url:
        assert (await _get(f"{url}/sync"))["labels"]["p402.department"] == "sales"
        await _get(f"{url}/background")
        assert [one["p402.department"] for one in await _get(f"{url}/later", {})] == ["sales"]


async def test_a_rule_of_ours_that_fails_does_not_fail_the_request(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p402.instrumentation.servers.inbound.of_request", lambda _: 1 / 0)
    async with serve({"trusted_peers": HERE}) as url:
        assert (await _get(url))["labels"] == {}


@pytest.mark.parametrize("rules", [{"headers": {"x": "team"}}, {"claim_levels": {"x": "request"}}])
def test_an_unknown_level_is_the_developers_mistake(rules: Any) -> None:
    with pytest.raises(ValueError, match=r"no level '(team|request)'"):
        AttributionMiddleware(lambda *_: asyncio.sleep(0), **rules)


def test_a_peer_that_is_no_network_is_the_developers_mistake() -> None:
    with pytest.raises(ValueError, match="trusted peer"):
        attribution_middleware(trusted_peers={"gateway.internal"})


@pytest.mark.parametrize(
    ("address", "believed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("fd00::7", True),
        ("testclient", False),
        ("", False),
        (None, False),
    ],
)
def test_peers_are_known_by_address(address: str | None, believed: bool) -> None:  # noqa: FBT001 - a parameter
    assert (address in TrustedPeers.named({"10.0.0.0/8", "fd00::/8"})) is believed
    assert ("" in TrustedPeers.named({"unix"})) is True


def _answered_by_another_instrumentation(provider: TracerProvider, peer: Mapping[str, str]) -> dict[str, str]:
    """As server instrumentations do: extract, start a span that names the peer, attach both."""
    arriving = propagate.extract(BAGGAGE, context=context.Context())
    tracer = provider.get_tracer("some.server.instrumentation")
    span = tracer.start_span("GET /", context=arriving, kind=SpanKind.SERVER, attributes=dict(peer))
    token = context.attach(trace.set_span_in_context(span, arriving))
    try:
        with tracer.start_as_current_span("work"):
            return labels()
    finally:
        span.end()
        context.detach(token)


@pytest.mark.parametrize("name", ["client.address", "net.peer.ip", "network.peer.address"])
@pytest.mark.parametrize(("trusted", "department"), [("", None), ("10.0.0.0/8", "sales"), ("192.168.0.0/16", None)])
def test_baggage_by_another_instrumentation_counts_from_trusted_peers_only(
    name: str, trusted: str, department: str | None
) -> None:
    with metered({"P402_TRUSTED_PEERS": trusted}) as spans:
        seen = _answered_by_another_instrumentation(spans.provider, {name: "10.1.2.3"})
        assert seen.get("p402.department") == department
        assert {(span.attributes or {}).get("p402.department") for span in spans.all} == {department}


def test_baggage_beside_a_span_that_nobody_could_judge_does_not_count(spans: Spans) -> None:
    assert _answered_by_another_instrumentation(spans.provider, {}) == {}
    assert _answered_by_another_instrumentation(TracerProvider(), {}) == {}
    assert _answered_by_another_instrumentation(TracerProvider(sampler=ALWAYS_OFF), {}) == {}


def test_what_code_says_counts_below_a_doubtful_span(spans: Spans) -> None:
    with (
        spans.provider.get_tracer("t").start_as_current_span("GET /", kind=SpanKind.SERVER),
        attribution(department="legal"),
    ):
        assert labels() == {"p402.department": "legal"}
    assert baggage.get_all() == {}


async def test_calls_in_a_request_are_metered_with_its_attribution(spans: Spans, llm: Llm) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send
        async with llm.openai() as client:
            await client.embeddings.create(model="m", input="x")

    headers = [(name.encode(), value.encode()) for name, value in BAGGAGE.items()]
    scope = {"type": "http", "client": ("127.0.0.1", 1), "headers": headers}
    await AttributionMiddleware(app, trusted_peers=HERE)(scope, None, None)  # type: ignore[arg-type] # unused
    assert spans.only()["p402.department"] == "sales"
    assert current_attribution() == Attribution()


async def test_aiohttps_middleware_leaves_nothing_behind() -> None:
    seen: list[Attribution] = []

    async def handler(_: web.Request) -> web.Response:
        seen.append(current_attribution())
        return web.Response()

    middleware = attribution_middleware(claims=_verify, claim_levels={"sub": "employee"})
    await middleware(make_mocked_request("GET", "/", {"Authorization": "Bearer good"}), handler)
    assert seen == [Attribution(employee="e-7")]
    assert current_attribution() == Attribution()


async def test_what_others_attach_around_or_inside_of_the_middleware_is_not_believed() -> None:
    seen: list[dict[str, Any]] = []

    async def app(*_: Any) -> None:
        seen.append(_seen())
        token = context.attach(propagate.extract(BAGGAGE, context=context.get_current()))
        seen.append(labels())
        context.detach(token)

    token = context.attach(propagate.extract(BAGGAGE))
    await AttributionMiddleware(app)({"type": "http", "headers": []}, None, None)  # type: ignore[arg-type] # unused
    context.detach(token)
    assert seen == [{"labels": {}, "onward": "other=1"}, {}]
