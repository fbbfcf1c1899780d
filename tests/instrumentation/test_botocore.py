"""Bedrock through boto3's core: metered from what goes by anyway, and nothing signed is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import botocore.session  # type: ignore[import-untyped] # it ships no types
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError  # type: ignore[import-untyped] # it ships no types
from botocore.httpsession import URLLib3Session  # type: ignore[import-untyped] # it ships no types

from p402.instrumentation import attribution
from support.bedrock import CASES, Bedrock, bedrock, call
from support.metering import Spans, metered
from support.recorded import Recorded, event_stream_message

CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
MESSAGES: Any = [{"role": "user", "content": [{"text": "Is this contract in order?"}]}]
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc")  # by botocore


@pytest.fixture(scope="module")
def serving() -> Iterator[Bedrock]:
    with bedrock() as running:
        yield running


@pytest.fixture
def runtime(serving: Bedrock) -> Bedrock:
    serving.headers.clear()
    serving.failures.clear()
    serving.answer = None
    return serving


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_one_span_with_usage_and_attribution(spans: Spans, runtime: Bedrock, case: Recorded) -> None:
    with attribution(employee="e-117"):
        assert call(runtime.client(), case)
    attributes, expected = spans.only(), case.expected
    told = {name.removeprefix("gen_ai.usage."): n for name, n in attributes.items() if "gen_ai.usage." in name}
    assert told == expected["usage"]
    assert attributes["gen_ai.request.model"] == expected["model"]
    assert attributes["gen_ai.provider.name"] == "aws.bedrock"
    assert attributes.get("gen_ai.request.stream", False) is case.streams
    assert attributes["p402.usage.source"] == "provider"
    assert attributes["p402.stream.end"] == "read"
    assert attributes["p402.employee"] == "e-117"


def test_the_same_bytes_are_sent_as_without_us(runtime: Bedrock) -> None:
    call(runtime.client(), CASES[0])
    with metered():
        call(runtime.client(), CASES[0])
    without, with_us = runtime.headers
    volatile = {"authorization", "x-amz-date", "amz-sdk-invocation-id"}
    assert {k: v for k, v in with_us.items() if k not in volatile} == {
        k: v for k, v in without.items() if k not in volatile
    }


def test_a_body_that_tells_nothing_is_counted_from_the_headers(spans: Spans, runtime: Bedrock) -> None:
    counts = {
        "x-amzn-bedrock-input-token-count": "7",
        "x-amzn-bedrock-output-token-count": "0",
        "x-amzn-bedrock-service-tier": "flex",
    }
    runtime.answer = {"content-type": "application/json", **counts}, b'{"embeddings": [[0.1]]}'
    body = json.dumps({"texts": ["A clause."], "input_type": "search_document"})
    runtime.client().invoke_model(modelId="cohere.embed-multilingual-v3", body=body)["body"].read()
    attributes = spans.only()
    assert (attributes["gen_ai.operation.name"], attributes["gen_ai.usage.input_tokens"]) == ("embeddings", 7)
    assert attributes["p402.service_tier"] == "flex"
    assert attributes["p402.usage.source"] == "provider"


@pytest.mark.parametrize("event", ["before-sign", "before-send"])
def test_no_baggage_whether_it_is_set_before_the_signature_or_after_it(
    spans: Spans, runtime: Bedrock, event: str
) -> None:
    def add(request: Any, **_: object) -> None:
        request.headers["baggage"] = "card=1"

    client = runtime.client()
    client.meta.events.register(f"{event}.bedrock-runtime.Converse", add)
    call(client, next(case for case in CASES if case.name == "bedrock-converse"))
    assert "baggage" not in runtime.headers[0]
    assert len(spans.calls) == 1


def test_retries_share_their_request(spans: Spans, runtime: Bedrock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    runtime.failures = [429, 500]
    call(runtime.client(), CASES[0])
    first, second, third = [dict(span.attributes or {}) for span in spans.calls]
    assert len({span["p402.request"] for span in (first, second, third)}) == 1
    assert [span.get("http.request.resend_count") for span in (first, second, third)] == [None, 1, 2]
    assert [span.get("error.type") for span in (first, second, third)] == ["429", "500", None]
    assert ["gen_ai.usage.input_tokens" in span for span in (first, second, third)] == [False, False, True]


def test_refused_call_is_an_error_without_usage(spans: Spans, runtime: Bedrock) -> None:
    runtime.failures = [400]
    with pytest.raises(ClientError):
        call(runtime.client(), CASES[0])
    assert spans.only()["error.type"] == "400"
    assert "gen_ai.usage.input_tokens" not in spans.only()


def test_unreachable_endpoint_is_an_error(spans: Spans) -> None:
    client = Bedrock("http://127.0.0.1:9").client()
    client.meta.events.register("needs-retry.*", lambda **_: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _: None)
        with pytest.raises(EndpointConnectionError):
            client.converse(modelId=CLAUDE, messages=MESSAGES)
    assert {(span.attributes or {})["error.type"] for span in spans.calls} == {
        "botocore.exceptions.EndpointConnectionError"
    }


def test_stream_that_is_closed_early_is_estimated(spans: Spans, runtime: Bedrock) -> None:
    text = "The liability cap is missing. " * 400
    pieces = [event_stream_message("contentBlockDelta", {"delta": {"text": text}}) for _ in range(20)]
    runtime.answer = {"content-type": "application/vnd.amazon.eventstream"}, b"".join(pieces)
    stream = runtime.client().converse_stream(modelId=CLAUDE, messages=MESSAGES)["stream"]
    next(iter(stream))
    stream.close()
    attributes = spans.only()
    assert (attributes["p402.stream.end"], attributes["p402.usage.source"]) == ("closed", "estimated")
    assert attributes["gen_ai.usage.output_tokens"] > 100


def test_body_read_in_pieces(spans: Spans, runtime: Bedrock) -> None:
    case = next(case for case in CASES if case.name == "bedrock-invoke-llama")
    answer = runtime.client().invoke_model(modelId="meta.llama3-3-70b-instruct-v1:0", body=json.dumps(case.request))
    assert b"".join(answer["body"].iter_chunks(5)) == case.pieces()[0]
    assert spans.only()["gen_ai.usage.output_tokens"] == 76


@pytest.mark.parametrize("name", ["bedrock-invoke-claude", "bedrock-invoke-claude-stream"])
def test_anthropics_client_for_bedrock(spans: Spans, runtime: Bedrock, name: str) -> None:
    """It signs by itself, and sends through httpx2."""
    case = next(case for case in CASES if case.name == name)
    runtime.answer = {"content-type": case.content_type}, b"".join(case.pieces())
    keys: Any = {"aws_access_key": "AKIDEXAMPLE", "aws_secret_key": "secret", "aws_region": "eu-central-1"}
    messages: Any = [{"role": "user", "content": "Is this contract in order?"}]
    with (
        attribution(employee="e-117"),
        anthropic.AnthropicBedrock(base_url=runtime.url, max_retries=0, **keys) as client,
    ):
        answer = client.messages.create(model=CLAUDE, max_tokens=9, messages=messages, stream=case.streams)
        assert list(answer)
    attributes = spans.only()
    told = {name.removeprefix("gen_ai.usage."): n for name, n in attributes.items() if "gen_ai.usage." in name}
    assert told == case.expected["usage"]
    assert attributes["gen_ai.request.model"] == CLAUDE
    assert "baggage" not in runtime.headers[0]


def test_other_services_are_left_alone(spans: Spans, runtime: Bedrock) -> None:
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    client = session.create_client("dynamodb", region_name="eu-central-1", endpoint_url=runtime.url)
    with pytest.raises(ClientError):  # the signature is for another service
        client.list_tables()
    assert spans.calls == []


def test_uninstrument_leaves_nothing_behind() -> None:
    before = URLLib3Session.send
    with metered():
        assert URLLib3Session.send is not before
    assert URLLib3Session.send is before
