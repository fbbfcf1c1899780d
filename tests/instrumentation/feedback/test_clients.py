"""Refusals and changes through every HTTP client that is hooked, without an SDK."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
from botocore.exceptions import ClientError  # type: ignore[import-untyped] # it ships no types

from p402.decisions import Policy, Tier
from support.bedrock import CASES, bedrock, call
from support.feedback_server import feedback_server
from support.guarded import PATIENT, guarded
from support.metering import MESSAGES, Llm
from support.recorded import Recorded

BODY = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 500}
KEY = {"Authorization": "Bearer k"}
CHEAP = Policy(name="marketing", version=3, max_tier=Tier.ECONOMY)
_Answer = tuple[int, Any, dict[str, str]]


def _httpx(url: str) -> _Answer:
    response = httpx.post(url, json=BODY, headers=KEY)
    return response.status_code, response.json(), dict(response.headers)


def _httpx2(url: str) -> _Answer:
    with httpx2.Client() as client, client.stream("POST", url, json=BODY, headers=KEY) as response:
        return response.status_code, json.loads(response.read()), dict(response.headers)


def _requests(url: str) -> _Answer:
    response = requests.post(url, json=BODY, headers=KEY, timeout=20)
    return response.status_code, response.json(), dict(response.headers)


def _aiohttp(url: str) -> _Answer:
    async def post() -> _Answer:
        async with aiohttp.ClientSession() as session, session.post(url, json=BODY, headers=KEY) as response:
            if response.status == 403:
                assert await response.content.read() == await response.read()
            return response.status, await response.json(), dict(response.headers)

    return asyncio.run(post())


CLIENTS = [_httpx, _httpx2, _requests, _aiohttp]


@pytest.mark.parametrize("post", CLIENTS)
async def test_a_refusal_looks_like_the_providers(llm: Llm, post: Callable[[str], _Answer]) -> None:
    with guarded(cap=1) as (_, spans):
        status, document, headers = await asyncio.to_thread(post, f"{llm.url}/v1/chat/completions")
    assert status == 403
    assert document["error"]["code"] == "budget_exhausted"
    assert (headers["x-should-retry"], headers["x-p402-code"]) == ("false", "budget_exhausted")
    assert llm.providers.requests == []
    assert spans.only()["p402.decision.verdict"] == "block"


@pytest.mark.parametrize("post", [one for one in CLIENTS if one is not _requests])
async def test_another_model_is_asked_for_under_the_name_that_it_takes_for_its_limit(
    llm: Llm, post: Callable[[str], _Answer]
) -> None:
    with guarded(policy=CHEAP) as (_, spans):
        status, document, _ = await asyncio.to_thread(post, f"{llm.url}/v1/chat/completions")
    assert (status, document["model"]) == (200, "gpt-4o-mini")
    [sent] = llm.providers.requests
    assert sent.body == {"model": "gpt-4o-mini", "messages": MESSAGES, "max_completion_tokens": 500}
    assert spans.only()["p402.decision.original_model"] == "gpt-4o"
    assert int(sent.headers["content-length"]) > 50


async def test_what_requests_sends_is_refused_where_it_would_have_to_be_changed(llm: Llm) -> None:
    with guarded(policy=CHEAP) as (_, spans):
        status, document, _ = await asyncio.to_thread(_requests, f"{llm.url}/v1/chat/completions")
    assert (status, document["error"]["code"]) == (403, "above_max_tier")
    assert spans.only()["p402.decision.verdict"] == "block"


async def test_the_applications_own_request_is_never_changed(llm: Llm) -> None:
    with guarded(policy=CHEAP), httpx.Client() as client:
        request = client.build_request("POST", f"{llm.url}/v1/chat/completions", json=BODY, headers=KEY)
        before = request.content, dict(request.headers), request.url
        response = await asyncio.to_thread(client.send, request)
    assert response.json()["model"] == "gpt-4o-mini"
    assert (request.content, dict(request.headers), request.url) == before


@pytest.mark.filterwarnings("ignore:datetime.datetime.utc")  # by botocore
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bedrock_refuses_as_amazon_does_and_nothing_is_sent(case: Recorded) -> None:
    with bedrock() as amazon, guarded(cap=1, hard=True) as (_, spans):
        with pytest.raises(ClientError) as raised:
            call(amazon.client(), case)
        assert raised.value.response["Error"]["Code"] == "AccessDeniedException"
        assert raised.value.response["Error"]["Message"].startswith("P402 Meter refused this call")
        assert raised.value.response["ResponseMetadata"]["RetryAttempts"] == 0
        assert amazon.headers == []
        assert [dict(span.attributes or {})["p402.decision.verdict"] for span in spans.calls] == ["block"]


EXIT = """
import httpx, sys
from p402.instrumentation import instrument
instrument()
def call():
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=
        {"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 100, "completion_tokens": 20}}))
    body = {"model": "gpt-4o", "messages": [], "max_tokens": 500}
    httpx.Client(transport=transport).post("http://api.openai.com/v1/chat/completions", json=body)
call()
"""
FORK = """
import os
pid = os.fork()
if pid == 0:
    call()
    from p402.instrumentation.instrumentor import P402Instrumentor
    P402Instrumentor().uninstrument()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
call()
"""


@pytest.mark.parametrize(("code", "calls", "leases"), [(EXIT, 1, 1), (EXIT + FORK, 3, 2)], ids=["exit", "fork"])
def test_leases_are_given_back_at_the_exit_and_a_child_has_its_own(code: str, calls: int, leases: int) -> None:
    with feedback_server(cap=10**11) as feedback:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
        environment = {**clean, **PATIENT, "P402_COLLECTOR_URL": feedback.url}
        ran = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, timeout=90, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert len(feedback.leases) == leases
        assert (len(feedback.spans), feedback.held, feedback.spent) == (calls, 0, calls * 450_000)
