"""Where spans go: the collector, over OTLP/HTTP, unless OpenTelemetry's own settings already send them there."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import SpanExporter

from p402.decisions import FailMode
from p402.instrumentation.delivery import Delivery, Limits
from p402.instrumentation.feedback.client import Guard
from p402.instrumentation.feedback.fallback import Fallback
from p402.instrumentation.feedback.gate import Gate
from p402.instrumentation.feedback.transport import Transport
from p402.instrumentation.settings import Settings

__all__ = ["already_sent", "delivery_to_collector", "gate_of"]


def delivery_to_collector(settings: Settings, environment: Mapping[str, str]) -> Delivery:
    """Make the delivery to the collector; its own HTTP is not instrumented, since it suppresses that while it sends."""

    def exporter() -> SpanExporter:
        # Imported here: whoever only marks attribution needs no exporter.
        from p402.instrumentation.exporter import CallExporter  # noqa: PLC0415

        headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        return CallExporter(endpoint=_traces_url(settings.collector_url), headers=headers)

    return Delivery(exporter, settings.collector_url, Limits.from_environment(environment))


def gate_of(settings: Settings, environment: Mapping[str, str], delivery: Delivery) -> tuple[Gate, Guard]:
    """Make the gate that calls pass; nothing is asked before the first call."""
    certificate = environment.get("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE") or environment.get(
        "OTEL_EXPORTER_OTLP_CERTIFICATE"
    )
    transport = Transport(settings.collector_url, settings.api_key, certificate)
    fail_mode = FailMode.CLOSED if settings.fail_closed else FailMode.OPEN
    budgets = Guard(transport, delivery.flush, Fallback(fail_mode, settings.collector_url), settings.decision_timeout)
    return Gate(budgets), budgets


def already_sent(settings: Settings, environment: Mapping[str, str]) -> bool:
    """Tell whether the standard exporter (OTLP over HTTP, in protobuf) already points at the same collector."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "otlp")
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if "otlp_proto_http" not in exporter and not ("otlp" in exporter.split(",") and protocol == "http/protobuf"):
        return False
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not endpoint:
        base = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        endpoint = _traces_url(base.rstrip("/")) if base else ""
    return bool(endpoint) and _place(endpoint) == _place(_traces_url(settings.collector_url))


def _traces_url(base: str) -> str:
    return f"{base}/v1/traces"


def _place(url: str) -> tuple[str, str, int | None, str]:
    try:
        parts = urlsplit(url)
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        return parts.scheme, host, parts.port or {"http": 80, "https": 443}.get(parts.scheme), parts.path.rstrip("/")
    except ValueError:
        return "", url, None, ""
