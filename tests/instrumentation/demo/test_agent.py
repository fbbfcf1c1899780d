"""The demo agent runs as a service of its own, with nothing but ``opentelemetry-instrument`` before it."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from p402.collector.demo.providers import MockProviders, ProviderCall, running

INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
PEOPLE = ("acme", "e-1042", "e-2007", "e-3120", "legal", "marketing", "engineering", "finance", "contract-desk")


@dataclass
class Day:
    """One run of the agent: how it ended, what it said, what reached the providers and the collector."""

    calls: list[ProviderCall] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    """Attributes of the spans that our instrumentation made."""
    status: int | None = None
    out: str = ""
    err: str = ""

    async def receive(self, request: web.Request) -> web.Response:
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                if scope.scope.name.startswith("p402."):
                    self.spans += [attributes(span) for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


async def spend_day(*, given: bool = True, **environment: str) -> Day:
    """Run the agent; the providers' address is given, or else taken from the environment."""
    day = Day()
    providers = MockProviders()
    collector = web.Application()
    collector.router.add_post("/v1/traces", day.receive)
    async with running(providers) as base_url, TestServer(collector) as received:
        address = {
            "OPENAI_BASE_URL": f"{base_url}/v1",
            "ANTHROPIC_BASE_URL": base_url,
            "GOOGLE_GEMINI_BASE_URL": base_url,
        }
        day.status, day.out, day.err = await run_agent(
            *(["--providers", base_url] if given else []),
            P402_COLLECTOR_URL=str(received.make_url("")),
            OTEL_EXPORTER_OTLP_ENDPOINT=str(received.make_url("")),
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_METRICS_EXPORTER="none",
            OTEL_LOGS_EXPORTER="none",
            **({} if given else address),
            **environment,
        )
    day.calls = providers.requests
    return day


async def run_agent(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(str(INSTRUMENT), sys.executable, "-m", "p402.instrumentation.demo.agent", *arguments),
        env={**{name: os.environ[name] for name in KEPT if name in os.environ}, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture(scope="module")
def day() -> Day:
    return asyncio.run(spend_day())


def test_agent_makes_its_calls_with_all_three_sdks(day: Day) -> None:
    assert day.status == 0, day.err
    calls = [(call.provider, call.model, call.stream) for call in day.calls]
    assert set(calls[4:6]) == {("openai", "gpt-4o", False), ("openai", "gpt-4o-mini", False)}  # made at the same time
    assert calls[:4] + calls[6:] == [
        ("anthropic", "claude-opus-4-5", False),
        ("openai", "gpt-4o", True),
        ("anthropic", "claude-opus-4-5", False),
        ("gcp.gemini", "gemini-2.5-flash", True),
        ("anthropic", "claude-haiku-4-5", False),
        ("openai", "text-embedding-3-small", False),
        ("gcp.gemini", "gemini-2.5-pro", False),
    ]
    assert len(day.out.splitlines()) == len(calls)


def test_no_provider_learns_who_a_call_was_for(day: Day) -> None:
    assert len(day.calls) == 9
    for call in day.calls:
        assert "baggage" not in call.headers
        assert not [word for word in PEOPLE if word in str(call.headers).lower()]


def test_each_call_is_a_span_that_says_whom_it_was_for(day: Day) -> None:
    levels = ("organisation", "department", "project", "client", "employee")
    seen = sorted(
        (span["gen_ai.request.model"], span.get("p402.task_type"), *(span.get(f"p402.{level}") for level in levels))
        for span in day.spans
        if span.get("p402.department") != "finance"
    )
    legal = ("acme", "legal", "contract-desk", "northwind", "e-1042")
    marketing = ("acme", "marketing", "spring-campaign", None, "e-2007")
    engineering = ("acme", "engineering", "search", None, "e-3120")
    assert seen == [
        ("claude-haiku-4-5", "code_completion", *engineering),
        ("claude-opus-4-5", "contract_analysis", *legal),
        ("claude-opus-4-5", "contract_analysis", *legal),
        ("gemini-2.5-flash", "summarisation", *legal),
        ("gpt-4o", "content_generation", *marketing),
        ("gpt-4o", "contract_analysis", *legal),
        ("gpt-4o-mini", "content_generation", *marketing),
        ("text-embedding-3-small", "embedding", *engineering),
    ]


def test_one_session_has_the_application_s_id_and_two_have_made_ones(day: Day) -> None:
    sessions = [span.get("p402.session") for span in day.spans]
    made = {session for session in sessions if session and session.startswith("sess_")}
    assert len(made) == 2
    assert set(sessions) - made == {"review-northwind-2026", None}
    assert sessions.count("review-northwind-2026") == 4


def test_one_call_is_left_partly_unattributed(day: Day) -> None:
    [span] = [span for span in day.spans if span.get("p402.department") == "finance"]
    assert [name for name in span if name in {"p402.project", "p402.client", "p402.employee", "p402.session"}] == []
    assert span["p402.organisation"] == "acme"


def test_worked_example_is_among_the_calls(day: Day) -> None:
    usages = [(span["gen_ai.usage.input_tokens"], span.get("gen_ai.usage.output_tokens")) for span in day.spans]
    assert usages.count((2_847, 10_000)) == 1


async def test_addresses_and_keys_come_from_the_environment_too() -> None:
    day = await spend_day(given=False, OPENAI_API_KEY="key-from-environment")
    assert day.status == 0, day.err
    keys = {call.headers["authorization"] for call in day.calls if call.provider == "openai"}
    assert keys == {"Bearer key-from-environment"}


async def test_key_from_the_environment_is_not_shown_to_an_address_on_the_command_line() -> None:
    day = await spend_day(OPENAI_API_KEY="key-from-environment")
    assert len(day.calls) == 9
    assert "key-from-environment" not in str(day.calls)


async def test_agent_says_what_it_lacks() -> None:
    status, _, err = await run_agent(
        OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none"
    )
    assert status == 1
    assert "--providers URL, or set OPENAI_BASE_URL" in err
