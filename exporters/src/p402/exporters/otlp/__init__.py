"""Spans for Jaeger, Grafana Tempo and others: with their cost, without what must not leave."""

from p402.exporters.otlp.downgrades import asked_for
from p402.exporters.otlp.enrich import Facts, enrich
from p402.exporters.otlp.grpc_sender import GrpcSender
from p402.exporters.otlp.policy import AttributePolicy
from p402.exporters.otlp.sender import Answer, Backend, HttpSender, Sender, Verdict
from p402.exporters.otlp.strip import strip

__all__ = [
    "Answer",
    "AttributePolicy",
    "Backend",
    "Facts",
    "GrpcSender",
    "HttpSender",
    "Sender",
    "Verdict",
    "asked_for",
    "enrich",
    "strip",
]
