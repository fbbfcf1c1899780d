"""Every provider's own words, through the hooked clients: who it was, which model, how many tokens of which kind."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter

from p402.instrumentation.providers.hosts import _HOSTS
from support.metering import Spans, metered
from support.recorded import Recorded, recorded

CASES = list(recorded())


@pytest.mark.parametrize("piece_size", [None, 5], ids=["by event", "in bits"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_httpx(case: Recorded, piece_size: int | None) -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not case.form:
            sent.append(json.loads(request.read()))
        return httpx2.Response(200, headers={"content-type": case.content_type}, content=bits(case, piece_size))

    body: Any = {"data": case.request, "files": {"file": b"RIFF"}} if case.form else {"json": case.request}
    with (
        metered({"P402_OPENAI_HOSTS": case.openai_hosts}) as spans,
        httpx2.Client(transport=httpx2.MockTransport(answer)) as client,
        client.stream("POST", case.url, headers=case.headers, **body) as response,
    ):
        received = b"".join(response.iter_bytes())
    check(case, spans)
    asked = case.expected.get("asked", False)
    if case.streams and not case.form:
        assert sent == [{**case.request, **({"stream_options": {"include_usage": True}} if asked else {})}]
    hidden = [piece for piece in case.pieces() if asked and b'"choices": []' in piece]
    assert received == b"".join(piece for piece in case.pieces() if piece not in hidden)


@pytest.mark.parametrize("case", [case for case in CASES if not case.form], ids=lambda case: case.name)
def test_requests(case: Recorded) -> None:
    with metered({"P402_OPENAI_HOSTS": case.openai_hosts}) as spans, requests.Session() as session:
        session.mount(case.url.split("//")[0] + "//", Answering(case))
        response = session.post(case.url, json=case.request, headers=case.headers, stream=case.streams)
        assert b"".join(response.iter_content(7)) == b"".join(case.pieces())
    check(case, spans)


async def test_transcription_by_the_sdk() -> None:
    """A form, with a file that can be read only once."""
    case = next(case for case in CASES if case.name == "openai-transcription")
    sent: list[bytes] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(await request.aread())
        return httpx2.Response(200, json=case.answer["response"])

    transport = httpx2.MockTransport(answer)
    with metered() as spans:
        async with openai.AsyncOpenAI(api_key="k", http_client=httpx2.AsyncClient(transport=transport)) as client:
            await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", io.BytesIO(b"RIFF")))
    assert b"RIFF" in sent[0]
    check(case, spans)


def check(case: Recorded, spans: Spans) -> None:
    attributes, expected = spans.only(), case.expected
    assert attributes["gen_ai.provider.name"] == expected["provider"]
    assert attributes["gen_ai.operation.name"] == expected["operation"]
    assert attributes["gen_ai.request.model"] == expected["model"]
    assert attributes.get("gen_ai.response.model") == expected["response_model"]
    assert spans.calls[0].name == f"{expected['operation']} {expected['model']}"
    told = {name.removeprefix("gen_ai.usage."): n for name, n in attributes.items() if "gen_ai.usage." in name}
    assert told.pop("cost.amount", None) == expected.get("cost_usd")
    assert told.pop("cost.currency", None) == ("USD" if "cost_usd" in expected else None)
    assert told == (expected["usage"] or {})
    assert attributes.get("p402.usage.source") == ("provider" if expected["usage"] else None)
    assert attributes.get("p402.usage.cache_write_1h.input_tokens") == expected.get("cache_write_1h")
    served = {attributes.get("openai.response.service_tier"), attributes.get("p402.service_tier")} - {None}
    assert served == ({expected["service_tier"]} if "service_tier" in expected else set())
    assert attributes["p402.stream.end"] == "read"
    assert "error.type" not in attributes


def bits(case: Recorded, size: int | None) -> Iterator[bytes]:
    whole = b"".join(case.pieces())
    return iter(case.pieces() if size is None else [whole[at : at + size] for at in range(0, len(whole), size)])


class Answering(BaseAdapter):
    """Answers as recorded, by a real urllib3 response."""

    def __init__(self, case: Recorded) -> None:
        super().__init__()
        self.case = case

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        assert request.body == json.dumps(self.case.request).encode()
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, self.case.url
        response.headers["content-type"] = self.case.content_type
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(b"".join(self.case.pieces())), response.headers, 200, preload_content=False, decode_content=False
        )
        return response

    def close(self) -> None:
        return


def test_every_known_host_has_a_case() -> None:
    providers = {case.expected["provider"] for case in CASES}
    assert {row.provider for row in _HOSTS} <= providers
