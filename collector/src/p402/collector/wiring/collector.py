"""A collector, put together. Reads like a diagram; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from secrets import SystemRandom

from aiohttp import web

from p402.collector.anomalies.watch import AnomalyWatch
from p402.collector.api.anomalies import AnomaliesApi
from p402.collector.api.budgets import BudgetsApi
from p402.collector.api.evaluations import EvaluationsApi
from p402.collector.api.events import EventsApi
from p402.collector.api.keys import KeysApi
from p402.collector.api.log import LogApi
from p402.collector.api.ocsf import OcsfApi
from p402.collector.api.openapi import OpenApi
from p402.collector.api.operations import OperationsApi
from p402.collector.api.organisation import OrganisationApi
from p402.collector.api.oversight import OversightApi
from p402.collector.api.periods import PeriodsApi
from p402.collector.api.receipt_documents import ReceiptDocumentsApi
from p402.collector.api.receipt_reviews import ReceiptReviewsApi
from p402.collector.api.receipts import ReceiptsApi
from p402.collector.api.reconciliations import ReconciliationsApi
from p402.collector.api.sessions import SessionsApi
from p402.collector.api.spend import SpendApi
from p402.collector.api.typesetting import Typesetter
from p402.collector.app import build_app
from p402.collector.budgets.keep import LeaseKeeper
from p402.collector.budgets.watch import BudgetWatch
from p402.collector.dashboard.access import build_access
from p402.collector.dashboard.health import Installed
from p402.collector.dashboard.pages import Dashboard
from p402.collector.dialects import DIALECTS
from p402.collector.exports.worker import ExportWorker
from p402.collector.health.watch import HealthWatch
from p402.collector.notifications.connect import connect_channels
from p402.collector.notifications.deliver import Courier
from p402.collector.pipeline.evaluate import EvaluationIngest
from p402.collector.pipeline.ingest import Ingest
from p402.collector.pricing import load_price_book
from p402.collector.receiver.forwardable import Forwarding
from p402.collector.receiver.intake import Intake
from p402.collector.receiver.otlp_grpc import OtlpGrpc
from p402.collector.sessions.seal import Sealer
from p402.collector.sessions.signing import LogSigners
from p402.collector.sessions.upkeep import LogKeeper
from p402.collector.settings import Settings
from p402.collector.settlement.worker import SettlementWorker
from p402.collector.storage.anomalies import SqlAnomalies
from p402.collector.storage.backend import open_backend
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.database import Database
from p402.collector.storage.evaluations import SqlEvaluations
from p402.collector.storage.keys import Keys
from p402.collector.storage.ledger import SqlLedger
from p402.collector.storage.log_upkeep import SqlLogs
from p402.collector.storage.migrate import upgrade
from p402.collector.storage.outbox import SqlDeliveries
from p402.collector.storage.personal_data import PersonalData, build_privacy
from p402.collector.storage.postings import Postings
from p402.collector.storage.sessions import SqlSessions
from p402.collector.storage.usage import SqlUsage
from p402.collector.storage.web_sessions import WebSessions
from p402.collector.tls import Tls
from p402.collector.usage.roll_up import UsageRollUp
from p402.collector.wiring.proof import build_exports, build_sealer, build_settlement, privacy_routes
from p402.collector.wiring.spending import anomaly_rules, build_feedback, build_look_ahead
from p402.collector.wiring.tracing import build_tracing
from p402.collector.wiring.traffic import build_doors, build_forwarder, build_health
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock, IdFactory, SystemClock, new_id

__all__ = ["Collector", "build"]


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector that is put together but does not listen yet."""

    app: web.Application
    grpc: OtlpGrpc | None
    keys: Keys
    web_sessions: WebSessions
    intake: Intake
    sealer: Sealer
    log_keeper: LogKeeper
    usage: UsageRollUp
    keeper: LeaseKeeper
    budget_watch: BudgetWatch
    watch: AnomalyWatch
    courier: Courier
    settlement: SettlementWorker | None
    exports: ExportWorker
    database: Database
    made_signing_key: bool
    privacy: PersonalData
    tls: Tls | None


def build(settings: Settings, clock: Clock | None = None, ids: IdFactory = new_id) -> Collector:
    """Put a collector together.

    Raises:
        Permanent: when something that it needs is wrong: the database, a key file.
    """
    clock = clock or SystemClock()
    backend = open_backend(settings)
    upgrade(backend)
    signers = LogSigners(settings.log_key_file, settings.receipt_origin)
    made_signing_key = signers.make_key_if_missing()

    tracing = build_tracing(settings)
    database = tracing.open_database(backend)
    privacy = build_privacy(settings, backend, database, signers, clock, ids)
    metrics = CollectorMetrics(settings.metrics_nodes)
    keys = Keys(database, ids, clock)
    access = build_access(settings, database, keys, privacy.suppressions, clock, ids)
    authenticator = access.authenticator

    sessions = SqlSessions(database, signers, privacy.vault, privacy.suppressions)
    sealer = build_sealer(settings, sessions, metrics, clock, ids, tracing.observe)
    log_keeper = LogKeeper(
        SqlLogs(database, signers), timedelta(seconds=settings.checkpoint_seconds), clock, tracing.observe
    )
    budget_rules = BudgetRules()
    database.on_rollback(budget_rules.forget)
    prices = load_price_book(settings.prices)
    ledger = SqlLedger(database, Postings(budget_rules, metrics.overrun), privacy.owners)
    ingest = Ingest(DIALECTS, prices, ledger, metrics, clock, settings.default_organisation)
    forwarder = build_forwarder(settings, database, metrics, clock, ids, tracing.observe)
    intake = Intake(
        ingest,
        EvaluationIngest(SqlEvaluations(database), metrics, clock, settings.default_organisation),
        metrics,
        Forwarding(settings.forward_content, tuple(one.name for one in settings.backends))
        if settings.backends
        else None,
    )
    doors = build_doors(settings, intake, authenticator, metrics, tracing.interceptors)

    usage = UsageRollUp(SqlUsage(database), tracing.observe)
    watch = AnomalyWatch(SqlAnomalies(database, ids), anomaly_rules(settings), metrics, clock, tracing.observe)
    channels = connect_channels(settings)
    courier = Courier(SqlDeliveries(database), channels, metrics, clock, SystemRandom().random, tracing.observe)

    settled = build_settlement(settings, database, signers, authenticator, metrics, clock, ids, tracing.observe)
    typesetter = Typesetter()
    taken_away = build_exports(
        settings, database, privacy, prices, authenticator, typesetter, settled.network, clock, ids, tracing.observe
    )

    async def close() -> None:
        await taken_away.worker.close()
        await privacy.keeper.close()
        if settled.worker is not None:
            await settled.worker.close()
        await access.close()
        await courier.close()
        await forwarder.close()
        await database.close()
        await tracing.close()

    health = build_health(settings, database)
    sessions_api = SessionsApi(database, authenticator, sealer, settings.default_organisation)
    read = [
        *ReceiptDocumentsApi(
            database, authenticator, settled.network, privacy.disclosures, typesetter, settings.default_organisation
        ).routes(),
        *ReceiptsApi(
            database, authenticator, settled.network, privacy.disclosures, settings.default_organisation
        ).routes(),
        *LogApi(database, authenticator, signers, settings.default_organisation).routes(),
        *settled.api.routes(),
        *PeriodsApi(database, authenticator, signers, clock, settings.default_organisation).routes(),
        *SpendApi(database, authenticator, clock, settings.default_organisation).routes(),
        *sessions_api.routes(),
        *EvaluationsApi(database, authenticator, clock, settings.default_organisation).routes(),
        *OcsfApi(database, authenticator, settings.default_organisation).routes(),
        *OperationsApi(health, authenticator, metrics, clock, settings.default_organisation).routes(),
        *OpenApi(authenticator, settings.default_organisation).routes(),
    ]
    may_spend = build_feedback(
        settings, database, budget_rules, privacy.owners, prices, ingest, authenticator, metrics, clock, ids
    )
    ahead = build_look_ahead(settings, database, authenticator, metrics, clock, tracing.observe)
    control = [
        *BudgetsApi(database, authenticator, clock, ids, settings.default_organisation).routes(),
        *OversightApi(database, authenticator, clock, settings.default_organisation).routes(),
        *OrganisationApi(database, authenticator, privacy.disclosures, clock, settings.default_organisation).routes(),
        *KeysApi(access.keys, authenticator, settings.default_organisation).routes(),
        *privacy_routes(settings, database, authenticator, privacy, clock, ids),
        *ReconciliationsApi(database, authenticator, prices, clock, ids, settings.default_organisation).routes(),
    ]
    dashboard = Dashboard(
        shell=access.shell,
        database=database,
        forecasts=ahead.forecasts,
        network=settled.network,
        disclosures=privacy.disclosures,
        new_id=ids,
        catalogue=may_spend.catalogue,
        prices=prices,
        signers=signers,
        sessions=sessions_api,
        reviews=ReceiptReviewsApi(database, authenticator, privacy.reviews, clock, settings.default_organisation),
        exports=taken_away.api,
        settlements=settled.api,
        trace_url=settings.dashboard_trace_url,
        keys=access.keys,
        anomaly_rules=anomaly_rules(settings),
        health=health,
        installed=Installed(
            clock.now(), "SQLite" if settings.postgresql_url is None else "PostgreSQL", settings.checkpoint_seconds
        ),
    )
    app = build_app(
        routes=[
            *doors.routes,
            *read,
            *may_spend.routes,
            *EventsApi(
                database, authenticator, frozenset(one.name for one in channels), clock, settings.default_organisation
            ).routes(),
            *AnomaliesApi(database, authenticator, clock, settings.default_organisation).routes(),
            *ahead.routes,
            *control,
            *taken_away.routes,
            *access.routes,
            *dashboard.routes(),
        ],
        tasks=[
            may_spend.keeper.run,
            ahead.watch.run,
            sealer.run,
            privacy.keeper.run,
            log_keeper.run,
            watch.run,
            usage.run,
            courier.run,
            HealthWatch(health, metrics, clock).run,
            taken_away.worker.run,
            *settled.tasks,
            forwarder.run,
            *([doors.tls.run] if doors.tls else []),
        ],
        close=close,
        max_request_bytes=settings.max_request_bytes,
        end_streams=[may_spend.end_streams, dashboard.end_streams],
        pages=access.pages,
        outermost=[*tracing.middlewares, dashboard.problems],
    )
    database.start()
    return Collector(
        app,
        doors.grpc,
        keys,
        access.sessions,
        intake,
        sealer,
        log_keeper,
        usage,
        may_spend.keeper,
        ahead.watch,
        watch,
        courier,
        settled.worker,
        taken_away.worker,
        database,
        made_signing_key,
        privacy,
        doors.tls,
    )
