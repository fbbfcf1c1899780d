"""Puts together what comes in and goes on: TLS, OTLP over gRPC, forwarding, and what tells how far all that is."""

from __future__ import annotations

from secrets import SystemRandom

from p402.collector.api.auth import Authenticator
from p402.collector.forwarding.connect import connect_backends
from p402.collector.forwarding.forward import Forwarder, Route
from p402.collector.receiver.intake import Intake
from p402.collector.receiver.otlp_grpc import OtlpGrpc
from p402.collector.settings import Settings
from p402.collector.settlement.connect import rules_of
from p402.collector.storage.database import Database
from p402.collector.storage.forwards import SqlForwardQueue
from p402.collector.storage.health import SqlWhatIsBehind
from p402.collector.storage.leaders import Leadership
from p402.collector.tls import Tls
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock, IdFactory

__all__ = ["build_forwarder", "build_grpc", "build_health", "build_tls"]


def build_tls(settings: Settings) -> Tls | None:
    """Read the certificate, if there is one."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return Tls(settings.tls_cert_file, settings.tls_key_file)


def build_grpc(
    settings: Settings, intake: Intake, authenticator: Authenticator, metrics: CollectorMetrics, tls: Tls | None
) -> OtlpGrpc | None:
    """Put together what takes OTLP over gRPC, if it is served."""
    listen = settings.grpc_listen
    if listen is None:
        return None
    required = "grpc_listen" in settings.model_fields_set  # somebody asked for this very address
    return OtlpGrpc(intake, authenticator, metrics, listen, settings.max_request_bytes, required=required, tls=tls)


def build_forwarder(
    settings: Settings, database: Database, metrics: CollectorMetrics, clock: Clock, ids: IdFactory
) -> Forwarder:
    """Put together what sends spans on."""
    holder = ids("clt", clock.now())
    routes = [
        Route(backend, sender, Leadership(database, f"forward:{backend.name}", holder, clock))
        for backend, sender in connect_backends(settings.backends)
    ]
    queue = SqlForwardQueue(database)
    return Forwarder(queue, routes, settings.forward_max_bytes, metrics, clock, SystemRandom().random)


def build_health(settings: Settings, database: Database) -> SqlWhatIsBehind:
    """Put together what tells what is behind."""
    rules = rules_of(settings) if settings.settles else None
    is_settled = None if rules is None else lambda organisation: rules.of(organisation) is not None
    return SqlWhatIsBehind(database, [backend.name for backend in settings.backends], is_settled, settings.data_dir)
