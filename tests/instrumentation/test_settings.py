"""Settings from the environment; what cannot be used is reported without its value, and its default taken."""

from __future__ import annotations

import logging
import os
from ipaddress import IPv4Network

import pytest

from p402.instrumentation.content import ContentMode
from p402.instrumentation.outlet import already_sent
from p402.instrumentation.peers import TrustedPeers
from p402.instrumentation.settings import Settings
from p402.instrumentation.zero_code import pre_instrument
from p402.vocabulary import Attribution


def test_nothing_is_set() -> None:
    assert Settings.from_environment({}) == Settings(collector_url="http://127.0.0.1:4318")


def test_everything_is_set() -> None:
    environment = {
        "P402_COLLECTOR_URL": "https://meter.internal/p402/",
        "P402_API_KEY": "key_1",
        "P402_DISABLED": "true",
        "P402_BAGGAGE_HOSTS": "litellm.internal, Gateway.internal,",
        "P402_OPENAI_HOSTS": "LLM.internal:8000=vllm, litellm.internal=litellm,",
        "P402_ORGANISATION": "acme",
        "P402_SESSION": "s-1",
        "P402_TASK_TYPE": "review",
        "P402_DATA_CLASS": "privileged",
        "P402_TRUSTED_PEERS": "10.0.0.0/8, unix",
        "P402_CONTENT_MODE": "Redacted",
        "P402_FINGERPRINT_KEY": "a-key-of-sixteen-characters",
        "P402_FAIL_MODE": "Closed",
        "P402_DECISION_TIMEOUT_MS": "120",
    }
    assert Settings.from_environment(environment) == Settings(
        collector_url="https://meter.internal/p402",
        api_key="key_1",
        disabled=True,
        baggage_hosts=frozenset({"litellm.internal", "gateway.internal"}),
        openai_hosts={"llm.internal:8000": "vllm", "litellm.internal": "litellm"},
        defaults=Attribution(organisation="acme", session="s-1"),
        task_type="review",
        data_class="privileged",
        trusted_peers=TrustedPeers((IPv4Network("10.0.0.0/8"),), unix=True),
        content_mode=ContentMode.REDACTED,
        fingerprint_key=b"a-key-of-sixteen-characters",
        budgets=True,
        fail_closed=True,
        decision_timeout=0.12,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("P402_COLLECTOR_URL", "collector:4318"),
        ("P402_COLLECTOR_URL", "http://u:p@host"),
        ("P402_COLLECTOR_URL", "http://host:port"),
        ("P402_COLLECTOR_URL", "http://[host"),
        ("P402_API_KEY", "a key\nof two lines"),
        ("P402_DISABLED", "perhaps"),
        ("P402_BUDGETS", "perhaps"),
        ("P402_FAIL_MODE", "ajar"),
        ("P402_DECISION_TIMEOUT_MS", "0.05 s"),
        ("P402_OPENAI_HOSTS", "gpu-7.internal:8000"),
        ("P402_OPENAI_HOSTS", "http://llm.internal/v1=vllm"),
        ("P402_EMPLOYEE", "e-\x007"),
        ("P402_TASK_TYPE", "x" * 257),
        ("P402_TRUSTED_PEERS", "10.0.0.0/8,gateway.internal"),
        ("P402_TRUSTED_PEERS", "10.0.0.1/8"),
        ("P402_CONTENT_MODE", "everything"),
        ("P402_FINGERPRINT_KEY", "too-short"),
    ],
)
def test_unusable_value_is_reported_and_ignored(name: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Settings.from_environment({name: value}) == Settings()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert name in record.getMessage()
    assert value not in record.getMessage()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, False),  # the protocol is gRPC or unknown
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318/", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            True,
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            True,
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces",
                "OTEL_TRACES_EXPORTER": "otlp_proto_http",
            },
            True,
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_TRACES_EXPORTER": "console",
            },
            False,
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, False),
    ],
)
def test_spans_are_not_sent_twice(environment: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a parameter
    assert already_sent(Settings(), environment) is expected


def test_anthropic_tracing_is_off_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY", "true")
    monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY_PROPAGATION", "")
    monkeypatch.delenv("ANTHROPIC_OPEN_TELEMETRY_PROPAGATION")
    pre_instrument()
    assert os.environ["ANTHROPIC_OPEN_TELEMETRY"] == "true"
    assert os.environ["ANTHROPIC_OPEN_TELEMETRY_PROPAGATION"] == "false"


def test_the_key_of_fingerprints_is_not_shown() -> None:
    settings = Settings.from_environment({"P402_FINGERPRINT_KEY": "a-key-of-sixteen-characters"})
    assert "sixteen" not in repr(settings)
