"""What evaluators send."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from support.otlp import MAY_2026, ASpan


def evaluations(*scores: tuple[ASpan, float]) -> bytes:
    """Evaluations as an evaluator sends them."""
    request = ExportLogsServiceRequest()
    of_acme = request.resource_logs.add()
    of_acme.resource.attributes.add(key="p402.organisation", value=AnyValue(string_value="acme"))
    records = of_acme.scope_logs.add().log_records
    for span, score in scores:
        said = {
            "gen_ai.evaluation.name": AnyValue(string_value="quality"),
            "gen_ai.evaluation.score.value": AnyValue(double_value=score),
        }
        records.add(
            event_name="gen_ai.evaluation.result",
            time_unix_nano=MAY_2026,
            trace_id=span.trace_id,
            span_id=span.span_id,
            attributes=[KeyValue(key=name, value=value) for name, value in said.items()],
        )
    return request.SerializeToString()
