"""Results of batches, downloaded by the real SDKs and by plain clients: each is metered, and arrives as it was."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import aiohttp
import httpx2
import openai
import pytest
import requests
from anthropic import Anthropic, AsyncAnthropic
from google import genai
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN

from p402.instrumentation import attribution, batches
from p402.instrumentation.batches import Downloads, ResultsDownload
from p402.instrumentation.instrumentor import P402Instrumentor
from p402.instrumentation.providers.results import results_at
from support.batch_providers import CHAT, BatchProviders, anthropic_line, batch_providers, lines, openai_line
from support.misbehaving_collector import Behaviour, misbehaving_collector
from support.wiretap import attributes

RESULTS = "/v1/messages/batches/msgbatch_1/results"
FILE = "/v1/files/file-1/content"
ANTHROPIC = [("msg_batch_0000000001", 1_000, 101), ("msg_batch_0000000002", 1_000, 102)]
OPENAI = [("chatcmpl-batch-000001", 1_000, 100), ("batch_req_0000000002", 7, 0), ("resp_batch_0000000001", 50, 5)]


@pytest.fixture
def served() -> Iterator[BatchProviders]:
    with batch_providers() as running:
        yield running


class Metered:
    """Switches the instrumentation on, with a collector that keeps what it is sent."""

    def __init__(self, **environment: str) -> None:
        self._environment = environment
        self.told: list[dict[str, Any]] = []
        self.names: list[str] = []
        self.keys: list[bytes] = []
        self.in_the_hosts_tracing = InMemorySpanExporter()

    def __enter__(self) -> Self:
        self._serving = misbehaving_collector(Behaviour.GOOD)
        self._collector = self._serving.__enter__()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.in_the_hosts_tracing))
        settings = {"P402_COLLECTOR_URL": self._collector.url, "OTEL_BSP_SCHEDULE_DELAY": "20", **self._environment}
        P402Instrumentor().instrument(tracer_provider=provider, environment=settings)
        return self

    def __exit__(self, *_: object) -> None:
        P402Instrumentor().uninstrument()
        self.told = [attributes(span) for span in self._collector.spans]
        self.names = [span.name for span in self._collector.spans]
        self.keys = [span.trace_id + span.span_id for span in self._collector.spans]
        self._serving.__exit__(None, None, None)


def counted(metered: Metered) -> list[tuple[str, int, int]]:
    usage = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
    return [(one["gen_ai.response.id"], one[usage[0]], one[usage[1]]) for one in metered.told]


def by_anthropic(url: str) -> list[object]:
    with Anthropic(api_key="k", base_url=url) as client:
        return [line.to_dict() for line in client.messages.batches.results("msgbatch_1")]


async def by_anthropic_async(url: str) -> object:
    async with AsyncAnthropic(api_key="k", base_url=url) as client:
        return [line.to_dict() async for line in await client.messages.batches.results("msgbatch_1")]


def by_openai(url: str) -> object:
    return openai.OpenAI(api_key="k", base_url=f"{url}/v1").files.content("file-1").read()


async def by_openai_async(url: str) -> object:
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{url}/v1") as client:
        return (await client.files.content("file-1")).text


def by_openai_streaming(url: str) -> object:
    files = openai.OpenAI(api_key="k", base_url=f"{url}/v1").files.with_streaming_response
    with files.content("file-1") as response:
        return list(response.iter_lines())


async def by_aiohttp(url: str) -> object:
    async with aiohttp.ClientSession() as session, session.get(url + FILE) as response:
        return [line async for line in response.content]


def by_requests(url: str) -> object:
    return list(requests.get(url + FILE, stream=True).iter_lines(7))


def by_requests_whole(url: str) -> object:
    return requests.get(url + FILE).content


async def awaited(download: Callable[[str], Any], url: str) -> object:
    found = download(url)
    return await found if hasattr(found, "__await__") else found


DOWNLOADS = [
    (by_anthropic, ANTHROPIC),
    (by_anthropic_async, ANTHROPIC),
    (by_openai, OPENAI),
    (by_openai_async, OPENAI),
    (by_openai_streaming, OPENAI),
    (by_aiohttp, OPENAI),
    (by_requests, OPENAI),
    (by_requests_whole, OPENAI),
]


@pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("download", "expected"), DOWNLOADS, ids=[download.__name__ for download, _ in DOWNLOADS])
async def test_each_result_is_metered_and_arrives_as_it_was(
    served: BatchProviders, download: Callable[[str], Any], expected: list[tuple[str, int, int]], *, gzipped: bool
) -> None:
    served.gzipped = gzipped
    without = await awaited(download, served.url)
    with Metered() as metered, attribution(department="legal", session="s-1"):
        assert await awaited(download, served.url) == without
    assert counted(metered) == expected
    assert {one["p402.service_tier"] for one in metered.told} == {"batch"}
    assert {(one["p402.department"], one["p402.session"]) for one in metered.told} == {("legal", "s-1")}
    assert len({one["p402.request"] for one in metered.told}) == len(expected)
    assert "SECRET" not in repr(metered.told)
    assert metered.in_the_hosts_tracing.get_finished_spans() == ()  # these calls are not the host's to trace


async def test_what_a_result_was_is_told(served: BatchProviders) -> None:
    with Metered() as metered:
        by_openai(served.url)
    assert metered.names == ["chat gpt-4o-2024-08-06", "embeddings text-embedding-3-small", "chat o3-2025-04-16"]
    first = metered.told[0]
    assert first["gen_ai.provider.name"] == "openai"
    assert first["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert first["p402.usage.source"] == "provider"
    assert [value.string_value for value in first["gen_ai.response.finish_reasons"].values] == ["stop"]


async def test_gemini_tells_its_results_inside_of_the_batch_and_in_files(served: BatchProviders) -> None:
    client = genai.Client(api_key="k", http_options=genai.types.HttpOptions(base_url=served.url))
    with Metered() as metered:
        assert client.batches.get(name="batches/b1").state == genai.types.JobState.JOB_STATE_SUCCEEDED
        assert client.files.download(file="files/f1")
    # Its ids are too short to be unique, so that the place of a result stands for it.
    assert counted(metered) == [("batches/b1/0", 1_000, 100), ("batches/b1/2", 1_000, 100), ("files/f1/a", 1_000, 100)]
    assert {one["gen_ai.operation.name"] for one in metered.told} == {"generate_content"}
    assert {one["gen_ai.provider.name"] for one in metered.told} == {"gcp.gemini"}


async def test_a_result_is_the_same_span_when_it_is_downloaded_again(served: BatchProviders) -> None:
    with Metered() as metered:
        by_anthropic(served.url)
        by_openai(served.url)
    with Metered() as again:
        by_openai(served.url)
        by_anthropic(served.url)
    assert len(set(metered.keys)) == len(ANTHROPIC) + len(OPENAI)
    assert set(again.keys) == set(metered.keys)


@pytest.mark.parametrize("known", [True, False])
async def test_only_a_provider_of_results_is_sent_no_baggage(served: BatchProviders, *, known: bool) -> None:
    """Files have such paths at other services too, which need their baggage."""
    hosts = {"P402_OPENAI_HOSTS": f"{served.url.removeprefix('http://')}=openai"} if known else {}
    with Metered(**hosts) as metered:
        httpx2.get(served.url + FILE, headers={"baggage": "p402.employee=e-117"})
    assert served.baggage == ([None] if known else ["p402.employee=e-117"])
    assert counted(metered) == OPENAI


async def test_more_results_than_the_queue_holds_are_all_metered(served: BatchProviders) -> None:
    served.bodies[RESULTS] = "application/binary", lines(*(anthropic_line(number) for number in range(3_000)))
    with Metered(OTEL_BSP_MAX_QUEUE_SIZE="64", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="32") as metered:
        assert len(by_anthropic(served.url)) == 3_000
    assert [one["gen_ai.usage.output_tokens"] for one in metered.told] == list(range(100, 3_100))


async def test_results_that_the_application_does_not_read_to_the_end_are_metered_as_far_as_it_did(
    served: BatchProviders,
) -> None:
    body = lines(*(anthropic_line(number) for number in range(20_000)))
    served.bodies[RESULTS] = "application/binary", body
    with Metered() as metered, httpx2.stream("GET", served.url + RESULTS) as response:
        read = next(response.iter_raw(10_000))
    assert len(metered.told) >= read.count(b"\n") > 0
    assert len(metered.told) < 20_000


@pytest.mark.parametrize(
    "body",
    [
        b"%PDF-1.7 \x00\xff",
        b"",
        b"\n\n",
        b"not JSON",
        b'{"messages": [{"role": "user"}]}\n{"messages": []}\n',  # what a model is tuned with
        b'{"custom_id": "c-1", "method": "POST", "url": "/v1/chat/completions", "body": {"usage": {}}}\n',  # its input
        b'{"id": 1',
        b'[{"usage": {"prompt_tokens": 7}}]',
        b'{"custom_id": "c", "response": {"body": [7]}}\n{"custom_id": "c", "response": 7}\n',
        b'{"custom_id": "c", "response": {"body": {"usage": {"prompt_tokens": "many"}}}}\n',
    ],
)
async def test_other_files_are_left_alone(
    served: BatchProviders, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    served.bodies[FILE] = "application/octet-stream", body
    with Metered() as metered:
        assert by_openai(served.url) == body
    assert [one for one in metered.told if one["gen_ai.usage.input_tokens"]] == []
    assert [record for record in caplog.records if "failed while" in record.getMessage()] == []


async def test_results_that_are_not_there_yet_are_nothing(served: BatchProviders) -> None:
    del served.bodies[FILE]
    with Metered() as metered, pytest.raises(openai.NotFoundError):
        by_openai(served.url)
    assert metered.told == []


async def test_a_line_that_makes_us_fail_costs_only_itself(served: BatchProviders) -> None:
    deeper_than_python_reads = b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    whole = [lines(openai_line(number, CHAT)) for number in (1, 3)]
    served.bodies[FILE] = "application/octet-stream", whole[0] + deeper_than_python_reads + whole[1]
    with Metered() as metered:
        assert by_openai(served.url) == served.bodies[FILE][1]
    assert len(metered.told) == 2


async def test_background_responses_are_metered_when_they_are_asked_for(served: BatchProviders) -> None:
    promised = {
        "id": "resp_00000000000000000001",
        "object": "response",
        "model": "o3",
        "background": True,
        "output": [],
    }
    queued = {**promised, "status": "queued", "usage": None, "service_tier": "auto"}
    usage = {"input_tokens": 50, "output_tokens": 5, "total_tokens": 55}
    path = f"/v1/responses/{promised['id']}"
    served.bodies["/v1/responses"] = served.bodies[path] = "application/json", json.dumps(queued).encode()
    with Metered() as metered, openai.OpenAI(api_key="k", base_url=f"{served.url}/v1") as client:
        response = client.responses.create(model="o3", input="Is this contract in order?", background=True)
        assert client.responses.retrieve(response.id).status == "queued"
        done = {**promised, "status": "completed", "usage": usage, "service_tier": "flex"}
        served.bodies[path] = "application/json", json.dumps(done).encode()
        assert client.responses.retrieve(response.id).status == "completed"
    asked, told = sorted(metered.told, key=lambda one: "gen_ai.usage.input_tokens" in one)
    assert "p402.usage.source" not in asked  # nothing is guessed of what will be told
    assert asked["gen_ai.response.id"] == told["gen_ai.response.id"]
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (50, 5)
    assert told["p402.service_tier"] == "flex"


def test_what_cannot_be_kept_is_given_up_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A collector that takes nothing: memory stays bounded, and the application's download does not wait."""
    monkeypatch.setattr(batches, "_MOST_BYTES", 10_000)
    has_room = threading.Event()
    downloads = Downloads(lambda *_: INVALID_SPAN, lambda: has_room.wait(5))
    found = results_at("api.anthropic.com", RESULTS)
    assert found is not None
    given_up = [ResultsDownload(downloads, found[0], found[2], {}) for _ in range(2)]
    with caplog.at_level(logging.WARNING):
        for download in given_up:
            for number in range(100):
                download.piece(lines(anthropic_line(number)))
    has_room.set()
    downloads.shutdown()
    assert [download.given_up for download in given_up] == [True, True]
    assert len([record for record in caplog.records if "Download the results again" in record.getMessage()]) == 1
