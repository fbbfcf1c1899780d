"""Everybody watches the same calls at once: each call is charged once, and what the others say about it is not kept.

Real: `opentelemetry-instrument` with the instrumentations of OpenTelemetry, OpenLLMetry and OpenInference, Anthropic's own
tracing, HTTP spans and ours, the SDKs, the collector as a process. Simulated: the models.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.demo.providers import MockProviders, Reply
from support.books import rows
from support.collector import RunningCollector, eventually, running_collector
from support.environments import environment
from support.otlp import ATTRIBUTION, ASpan, request_of
from support.providers import providers_thread
from support.wiretap import attributes, wiretap

APPLICATION = Path(__file__).parents[1] / "support" / "observed_application.py"
PROMPT, COMPLETION = "the-wording-of-the-question", "the-wording-of-the-answer"
REPLIES = {
    "gpt-4o": Reply(COMPLETION, 60, 20, cache_read_tokens=30),
    "gpt-4o-mini": Reply(COMPLETION, 61, 21, cache_read_tokens=30),
    "gpt-4.1": Reply(COMPLETION, 62, 22, cache_read_tokens=30),
    "text-embedding-3-small": Reply("", 50, 0),
    "claude-opus-4-5": Reply(COMPLETION, 63, 23, cache_read_tokens=30, cache_write_tokens=10),
    "claude-haiku-4-5": Reply(COMPLETION, 64, 24, cache_read_tokens=30, cache_write_tokens=10),
    "gpt-4.1-mini": Reply(COMPLETION, 65, 25, cache_read_tokens=30),
    "gpt-4.1-nano": Reply(COMPLETION, 66, 26, cache_read_tokens=30),
    "gpt-4-turbo": Reply(COMPLETION, 67, 27, cache_read_tokens=30),
    "claude-sonnet-4-5": Reply(COMPLETION, 68, 28, cache_read_tokens=30, cache_write_tokens=10),
    "claude-sonnet-4-0": Reply(COMPLETION, 69, 29, cache_read_tokens=30, cache_write_tokens=10),
}
_MODEL_NAMES = ("gen_ai.request.model", "llm.request.model_name", "llm.model_name", "embedding.model_name")


@dataclass(frozen=True)
class Observed:
    """Everything after the application has ended."""

    collector: RunningCollector
    spans: list[Span]
    scopes: dict[bytes, str]
    providers: MockProviders

    def charges(self) -> list[dict[str, Any]]:
        charges: list[dict[str, Any]] = self.collector.get("/v1/charges", organisation="acme")["charges"]
        return charges

    def reports(self) -> dict[str, set[tuple[str, bytes]]]:
        """Who reported a call of which model: scope and span id."""
        found: dict[str, set[tuple[str, bytes]]] = defaultdict(set)
        for span in self.spans:
            said = attributes(span)
            model = next((said[name] for name in _MODEL_NAMES if name in said), None)
            if model is not None:
                found[model].add((self.scopes[span.span_id], span.span_id))
        return found


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    folder = tmp_path_factory.mktemp("observed")
    programs = environment("other-instrumentations")
    providers = MockProviders(lambda call: REPLIES[call.model])
    with (
        providers_thread(providers) as providers_url,
        running_collector(folder / "data") as collector,
        wiretap(collector.url) as tap,
    ):
        settings = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
        settings |= {
            "P402_COLLECTOR_URL": tap.url,
            "P402_ORGANISATION": "acme",
            "OTEL_EXPORTER_OTLP_ENDPOINT": tap.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "otlp_proto_http",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "ANTHROPIC_OPEN_TELEMETRY": "true",  # else our instrumentation turns it off
            "ANTHROPIC_OPEN_TELEMETRY_PROPAGATION": "true",
        }
        run = [str(programs / "opentelemetry-instrument"), str(programs / "python")]
        subprocess.run([*run, str(APPLICATION), providers_url, PROMPT], env=settings, check=True, timeout=120)
        eventually(lambda: len(rows(folder / "data", "SELECT 1 FROM charges")) >= len(REPLIES))
        yield Observed(collector, tap.spans, tap.scopes, providers)


def test_every_instrumentation_was_at_work(observed: Observed) -> None:
    assert set(observed.scopes.values()) >= {
        "com.anthropic.sdk.python",
        "openinference.instrumentation.anthropic",
        "openinference.instrumentation.openai",
        "opentelemetry.instrumentation.anthropic",
        "opentelemetry.instrumentation.genai.anthropic",
        "opentelemetry.instrumentation.genai.openai",
        "opentelemetry.instrumentation.httpx",
        "opentelemetry.instrumentation.openai.v1",
        "p402.instrumentation",
    }
    table = [f"{'call':<24} spans  reported by"]
    for model, reporters in observed.reports().items():
        table.append(f"{model:<24} {len(reporters):>5}  {', '.join(sorted(scope for scope, _ in reporters))}")
        assert len(reporters) >= 4, model
    sys.stdout.write("\n" + "\n".join(table) + "\n")  # pytest -s shows it


def test_no_provider_is_told_what_the_baggage_says_whoever_instruments(observed: Observed) -> None:
    requests = observed.providers.requests
    assert len(requests) == len(REPLIES)
    for request in requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert "traceparent" in headers, "somebody does propagate"
        assert not {"baggage", "tracestate"} & set(headers)
        assert "jane" not in repr(headers)
        assert "zebra" not in repr(headers)


def test_each_call_is_charged_once_with_what_the_provider_counted(observed: Observed) -> None:
    charges = observed.charges()
    assert Counter(charge["request_model"] for charge in charges) == Counter(dict.fromkeys(REPLIES, 1))
    counts = "input_tokens, output_tokens, cache_read_input_tokens, cache_write_input_tokens"
    query = f"SELECT request_model, {counts} FROM charges JOIN models ON models.id = model_id"
    for model, *counted in rows(observed.collector.data_dir, query):
        reply = REPLIES[model]
        said = [reply.input_tokens, reply.output_tokens, reply.cache_read_tokens, reply.cache_write_tokens]
        assert counted == said, model


def test_every_other_report_is_kept_apart_with_a_reason(observed: Observed) -> None:
    charged = {bytes.fromhex(charge["span_id"]) for charge in observed.charges()}
    reported = {span_id for reporters in observed.reports().values() for _, span_id in reporters}
    apart = {
        key[16:]: reason for key, reason in rows(observed.collector.data_dir, "SELECT span_key, reason FROM set_aside")
    }
    assert set(apart) == reported - charged
    assert set(apart.values()) <= {"duplicate", "no_usage", "quarantined"}
    # OpenLLMetry adds up what the start and the end of a stream of Anthropic's say, one token too many
    miscounted = [observed.scopes[span_id] for span_id, reason in apart.items() if reason == "quarantined"]
    assert set(miscounted) <= {"opentelemetry.instrumentation.anthropic"}


def test_the_same_spans_in_any_other_order_give_the_same_charges(observed: Observed, tmp_path: Path) -> None:
    """Outermost first, one request for each span: the opposite of how they arrive."""
    calls = sorted(observed.spans, key=lambda span: span.start_time_unix_nano)
    with running_collector(tmp_path / "data") as collector:
        for span in calls:
            collector.export(_request(span, observed.scopes[span.span_id])).raise_for_status()
        charges = collector.get("/v1/charges", organisation="acme")["charges"]
        # where an instrumentation outside ours says something else, the first report is charged, the other quarantined
        assert Counter(charge["request_model"] for charge in charges) == Counter(dict.fromkeys(REPLIES, 1))


def _request(span: Span, scope: str) -> bytes:
    request = ExportTraceServiceRequest()
    within = request.resource_spans.add().scope_spans.add()
    within.scope.name = scope
    within.spans.append(span)
    return request.SerializeToString()


def test_nothing_of_what_was_said_is_kept_or_shown(observed: Observed) -> None:
    sent = b"".join(span.SerializeToString() for span in observed.spans)
    assert PROMPT.encode() in sent
    assert COMPLETION.encode() in sent
    _nothing_of(observed.collector, PROMPT, COMPLETION)


SECRET = "p0ssibly-the-secret"
CONTENT = {
    "genai_semconv": (
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 5},
        (
            *(
                "gen_ai.input.messages",
                "gen_ai.output.messages",
                "gen_ai.system_instructions",
                "gen_ai.tool.definitions",
            ),
            *("gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.prompt", "gen_ai.completion"),
        ),
    ),
    "openinference": (
        {"openinference.span.kind": "LLM", "llm.token_count.prompt": 7, "llm.token_count.completion": 5},
        (
            *(
                "input.value",
                "output.value",
                "llm.invocation_parameters",
                "llm.prompts",
                "llm.tools.0.tool.json_schema",
            ),
            *(
                "llm.input_messages.0.message.content",
                "llm.output_messages.0.message.content",
                "metadata",
                "tool.parameters",
            ),
        ),
    ),
    "openllmetry": (
        {"llm.request.type": "chat", "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 5},
        (
            *("gen_ai.prompt.0.content", "gen_ai.completion.0.content", "llm.request.functions.0.parameters"),
            *("traceloop.entity.input", "traceloop.entity.output", "llm.prompts.0.content", "llm.headers"),
        ),
    ),
    "claude_code": (
        {"name": "claude_code.llm_request", "input_tokens": 7, "output_tokens": 5},
        ("user_prompt", "new_context", "response.model_output", "tool_input", "query_source"),
    ),
}
EVERYWHERE = (
    *("exception.message", "exception.stacktrace", "error.message", "http.url", "url.full", "url.query", "http.target"),
    *("http.request.header.authorization", "http.request.body", "db.statement"),
)


@pytest.mark.parametrize("dialect", CONTENT)
@pytest.mark.parametrize("wrapper", [False, True], ids=["call", "wrapper"])
def test_secrets_in_spans_of_every_dialect_are_in_no_file_and_no_answer(
    tmp_path: Path, dialect: str, *, wrapper: bool
) -> None:
    said, content = CONTENT[dialect]
    seeded = dict.fromkeys((*content, *EVERYWHERE), f'{{"content": "{SECRET}", "url": "https://host/v1?key={SECRET}"}}')
    known = {**said, **seeded, "gen_ai.provider.name": "openai", **ATTRIBUTION, "llm.model_name": "gpt-4o"}
    kind = {"traceloop.span.kind": "agent"} if wrapper else {}
    spans = [
        ASpan(attributes={**known, **kind, "gen_ai.request.model": "gpt-4o"}, scope="vendor.sdk"),
        ASpan(attributes={**known, **kind}, scope="vendor.sdk", failed=True),
        ASpan(attributes={**known, **kind}, scope="vendor.sdk", span_id=b"short"),  # rejected, with a sentence
    ]
    with running_collector(tmp_path / "data") as collector:
        request = request_of(spans)
        assert SECRET.encode() in request
        answer = collector.export(request)
        assert answer.status_code == 200
        assert SECRET.encode() not in answer.content
        collector.export(request[: len(request) // 2])  # undecodable
        charges = collector.get("/v1/charges", organisation="acme")["charges"]
        assert len(charges) == (0 if wrapper or dialect == "claude_code" else 2)
        if charges:
            collector.post("/v1/sessions/review-7/close", organisation="acme")
            eventually(lambda: collector.get("/v1/receipts", organisation="acme")["receipts"])
        _nothing_of(collector, SECRET)


def _nothing_of(collector: RunningCollector, *secrets: str) -> None:
    paths = ["/v1/charges", "/v1/receipts", "/v1/spend", "/v1/settlements", "/metrics", "/", "/readyz"]
    for receipt in collector.get("/v1/receipts", organisation="acme")["receipts"]:
        link = f"/v1/receipts/{receipt['receipt_id']}"
        paths += [link, f"{link}.json", f"{link}/body", f"{link}/proof", link.removeprefix("/v1")]
    shown = {path: collector.text(path, organisation="acme").encode() for path in paths}
    files = {str(file): file.read_bytes() for file in collector.data_dir.rglob("*") if file.is_file()}
    assert any(name.endswith("p402.sqlite3") for name in files)
    assert any(name.endswith("collector.log") for name in files)
    for place, held in {**shown, **files}.items():
        for secret in secrets:
            assert secret.encode() not in held, place
