"""Puts together what comes in and goes on: the doors of OTLP, forwarding, and what tells how far all that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import SystemRandom

import grpc
from aiohttp import web

from p402.collector.api.auth import Authenticator
from p402.collector.forwarding.connect import connect_backends
from p402.collector.forwarding.forward import Forwarder, Route
from p402.collector.observed_work import Observe
from p402.collector.receiver.intake import Intake
from p402.collector.receiver.otlp_grpc import OtlpGrpc
from p402.collector.receiver.otlp_http import OtlpReceiver
from p402.collector.settings import Settings
from p402.collector.settlement.connect import rules_of
from p402.collector.storage.database import Database
from p402.collector.storage.forwards import SqlForwardQueue
from p402.collector.storage.health import SqlWhatIsBehind
from p402.collector.storage.leaders import Leadership
from p402.collector.tls import Tls
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock, IdFactory

__all__ = ["Doors", "build_doors", "build_forwarder", "build_health"]


@dataclass(frozen=True, slots=True)
class Doors:
    """Where spans come in."""

    routes: list[web.RouteDef]
    grpc: OtlpGrpc | None
    tls: Tls | None
    """Of both doors; None: they are in clear text."""


def build_doors(
    settings: Settings,
    intake: Intake,
    authenticator: Authenticator,
    metrics: CollectorMetrics,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
) -> Doors:
    """Put together what takes OTLP: over HTTP, and over gRPC if that is served."""
    most, tls = settings.max_request_bytes, None
    if settings.tls_cert_file is not None and settings.tls_key_file is not None:
        tls = Tls(settings.tls_cert_file, settings.tls_key_file)
    http = OtlpReceiver(intake, authenticator, metrics, most, settings.default_organisation)
    listen = settings.grpc_listen
    if listen is None:
        return Doors(http.routes(), None, tls)
    required = "grpc_listen" in settings.model_fields_set  # somebody asked for this very address
    over_grpc = OtlpGrpc(
        intake, authenticator, metrics, listen, most, required=required, tls=tls, interceptors=interceptors
    )
    return Doors(http.routes(), over_grpc, tls)


def build_forwarder(
    settings: Settings, database: Database, metrics: CollectorMetrics, clock: Clock, ids: IdFactory, observe: Observe
) -> Forwarder:
    """Put together what sends spans on."""
    holder = ids("clt", clock.now())
    routes = [
        Route(backend, sender, Leadership(database, f"forward:{backend.name}", holder, clock))
        for backend, sender in connect_backends(settings.backends)
    ]
    queue = SqlForwardQueue(database)
    return Forwarder(queue, routes, settings.forward_max_bytes, metrics, clock, SystemRandom().random, observe)


def build_health(settings: Settings, database: Database) -> SqlWhatIsBehind:
    """Put together what tells what is behind."""
    rules = rules_of(settings) if settings.settles else None
    is_settled = None if rules is None else lambda organisation: rules.of(organisation) is not None
    return SqlWhatIsBehind(database, [backend.name for backend in settings.backends], is_settled, settings.data_dir)
