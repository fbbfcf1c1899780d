"""The one place where everything is built and joined. Reads like a diagram; decides nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from importlib.metadata import version
from secrets import SystemRandom

from aiohttp import web

from p402.collector.anomalies.detect import AnomalyRules
from p402.collector.anomalies.watch import AnomalyWatch
from p402.collector.api.access_log import AccessLogApi
from p402.collector.api.alerts import AlertsApi
from p402.collector.api.anomalies import AnomaliesApi
from p402.collector.api.auth import Authenticator
from p402.collector.api.budgets import BudgetsApi
from p402.collector.api.erasures import ErasuresApi
from p402.collector.api.evaluations import EvaluationsApi
from p402.collector.api.events import EventsApi
from p402.collector.api.exports import ExportsApi
from p402.collector.api.feedback import FeedbackApi, HoldTimes
from p402.collector.api.feedback_rules import RulesView
from p402.collector.api.feedback_stream import FeedbackStream
from p402.collector.api.forecast import ForecastApi
from p402.collector.api.holds import HoldsApi
from p402.collector.api.keys import KeysApi
from p402.collector.api.log import LogApi
from p402.collector.api.ocsf import OcsfApi
from p402.collector.api.openapi import OpenApi
from p402.collector.api.operations import OperationsApi
from p402.collector.api.organisation import OrganisationApi
from p402.collector.api.oversight import OversightApi
from p402.collector.api.periods import PeriodsApi
from p402.collector.api.policies import PoliciesApi
from p402.collector.api.prices import PricesApi
from p402.collector.api.receipt_documents import ReceiptDocumentsApi
from p402.collector.api.receipt_reviews import ReceiptReviewsApi
from p402.collector.api.receipts import ReceiptsApi
from p402.collector.api.reconciliations import ReconciliationsApi
from p402.collector.api.sessions import SessionsApi
from p402.collector.api.settlements import SettlementsApi
from p402.collector.api.spend import SpendApi
from p402.collector.api.statements import StatementsApi
from p402.collector.api.typesetting import Typesetter
from p402.collector.app import build_app
from p402.collector.budgets.keep import LeaseKeeper
from p402.collector.budgets.watch import BudgetWatch
from p402.collector.dashboard.access import build_access
from p402.collector.dashboard.health import Installed
from p402.collector.dashboard.pages import Dashboard
from p402.collector.dialects import DIALECTS
from p402.collector.exports.folder import ExportFolder
from p402.collector.exports.worker import ExportWorker
from p402.collector.forecast.service import Forecasts
from p402.collector.forwarding.connect import connect_backends
from p402.collector.forwarding.forward import Forwarder, Route
from p402.collector.health.watch import HealthWatch
from p402.collector.notifications.connect import connect_channels
from p402.collector.notifications.deliver import Courier
from p402.collector.pipeline.evaluate import EvaluationIngest
from p402.collector.pipeline.ingest import Ingest
from p402.collector.pricing import PriceBook, load_price_book
from p402.collector.receiver.forwardable import Forwarding
from p402.collector.receiver.intake import Intake
from p402.collector.receiver.otlp_grpc import OtlpGrpc
from p402.collector.receiver.otlp_http import OtlpReceiver
from p402.collector.routing.catalogue import load_catalogue
from p402.collector.sessions.seal import Sealer
from p402.collector.sessions.signing import LogSigners
from p402.collector.sessions.track import SessionRules
from p402.collector.sessions.upkeep import LogKeeper
from p402.collector.settings import Settings
from p402.collector.settlement.connect import connect, rules_of, triggers_of
from p402.collector.settlement.mpp import MppPayer
from p402.collector.settlement.mpp_client import MppClient
from p402.collector.settlement.reconcile import SettlementReconciler
from p402.collector.settlement.worker import SettlementWorker
from p402.collector.storage.alerts import SqlBudgetWatch
from p402.collector.storage.anomalies import SqlAnomalies
from p402.collector.storage.backend import open_backend
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.chain_checks import SqlChainChecks
from p402.collector.storage.database import Database
from p402.collector.storage.decisions import Decisions
from p402.collector.storage.evaluations import SqlEvaluations
from p402.collector.storage.export_pages import export_pages
from p402.collector.storage.exports import SqlExports
from p402.collector.storage.forwards import SqlForwardQueue
from p402.collector.storage.health import SqlWhatIsBehind
from p402.collector.storage.keys import Keys
from p402.collector.storage.leaders import Leadership
from p402.collector.storage.lease_expiry import lease_count, lease_expiry
from p402.collector.storage.ledger import SqlLedger
from p402.collector.storage.log_upkeep import SqlLogs
from p402.collector.storage.migrate import upgrade
from p402.collector.storage.mpp_payments import SqlMppPayments
from p402.collector.storage.outbox import SqlDeliveries
from p402.collector.storage.personal_data import PersonalData, build_privacy
from p402.collector.storage.policies import Policies
from p402.collector.storage.postings import Postings
from p402.collector.storage.sessions import SqlSessions
from p402.collector.storage.settlements import SqlSettlements
from p402.collector.storage.spend_history import SqlSpendHistory
from p402.collector.storage.suppressions import Suppressions
from p402.collector.storage.usage import SqlUsage
from p402.collector.storage.web_sessions import WebSessions
from p402.collector.tls import Tls
from p402.collector.usage.roll_up import UsageRollUp
from p402.decisions import Catalogue, RateCard
from p402.exporters.documents.statement import MarkupRule
from p402.exporters.prometheus import CollectorMetrics
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Charge, Clock, IdFactory, Money, SystemClock, new_id

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

    database = Database(backend)
    privacy = build_privacy(settings, backend, database, signers, clock, ids)
    metrics = CollectorMetrics(settings.metrics_nodes)
    keys = Keys(database, ids, clock)
    access = build_access(settings, database, keys, privacy.suppressions, clock, ids)
    authenticator = access.authenticator

    sessions = SqlSessions(database, signers, privacy.vault, privacy.suppressions)
    sealer = _sealer(settings, sessions, metrics, clock, ids)
    log_keeper = LogKeeper(SqlLogs(database, signers), timedelta(seconds=settings.checkpoint_seconds), clock)
    budget_rules = BudgetRules()
    database.on_rollback(budget_rules.forget)
    prices = load_price_book(settings.prices)
    ledger = SqlLedger(database, Postings(budget_rules, metrics.overrun), privacy.suppressions)
    ingest = Ingest(DIALECTS, prices, ledger, metrics, clock, settings.default_organisation)
    forwarder = _forwarder(settings, database, metrics, clock, ids)
    intake = Intake(
        ingest,
        EvaluationIngest(SqlEvaluations(database), metrics, clock, settings.default_organisation),
        metrics,
        Forwarding(settings.forward_content) if settings.backends else None,
    )
    tls = _tls(settings)
    receiver = OtlpReceiver(intake, authenticator, metrics, settings.max_request_bytes, settings.default_organisation)
    grpc = _grpc(settings, intake, authenticator, metrics, tls)

    usage = UsageRollUp(SqlUsage(database))
    watch = AnomalyWatch(SqlAnomalies(database, ids), _anomaly_rules(settings), metrics, clock)
    channels = connect_channels(settings)
    courier = Courier(SqlDeliveries(database), channels, metrics, clock, SystemRandom().random)

    settled = _settlement(settings, database, signers, authenticator, metrics, clock, ids)
    typesetter = Typesetter()
    taken_away = _exports(settings, database, privacy, prices, authenticator, typesetter, settled.network, clock, ids)

    async def close() -> None:
        await taken_away.worker.close()
        await privacy.keeper.close()
        if settled.worker is not None:
            await settled.worker.close()
        await access.close()
        await courier.close()
        await forwarder.close()
        await database.close()

    health = _health(settings, database)
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
    may_spend = _feedback(
        settings, database, budget_rules, privacy.suppressions, prices, ingest, authenticator, metrics, clock, ids
    )
    ahead = _look_ahead(settings, database, authenticator, metrics, clock)
    control = [
        *BudgetsApi(database, authenticator, clock, ids, settings.default_organisation).routes(),
        *OversightApi(database, authenticator, clock, settings.default_organisation).routes(),
        *OrganisationApi(database, authenticator, clock, settings.default_organisation).routes(),
        *KeysApi(access.keys, authenticator, settings.default_organisation).routes(),
        *_privacy_routes(settings, database, authenticator, privacy, clock, ids),
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
        anomaly_rules=_anomaly_rules(settings),
        health=health,
        installed=Installed(
            clock.now(), "SQLite" if settings.postgresql_url is None else "PostgreSQL", settings.checkpoint_seconds
        ),
    )
    app = build_app(
        routes=[
            *receiver.routes(),
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
            *([tls.run] if tls else []),
        ],
        close=close,
        max_request_bytes=settings.max_request_bytes,
        end_streams=[may_spend.end_streams, dashboard.end_streams],
        pages=access.pages,
        outermost=[dashboard.problems],
    )
    database.start()
    return Collector(
        app,
        grpc,
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
        tls,
    )


def _tls(settings: Settings) -> Tls | None:
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return Tls(settings.tls_cert_file, settings.tls_key_file)


def _grpc(
    settings: Settings, intake: Intake, authenticator: Authenticator, metrics: CollectorMetrics, tls: Tls | None
) -> OtlpGrpc | None:
    listen = settings.grpc_listen
    if listen is None:
        return None
    required = "grpc_listen" in settings.model_fields_set  # somebody asked for this very address
    return OtlpGrpc(intake, authenticator, metrics, listen, settings.max_request_bytes, required=required, tls=tls)


def _anomaly_rules(settings: Settings) -> AnomalyRules:
    return AnomalyRules(
        factor=Fraction(settings.anomaly_factor),
        min_sessions=settings.anomaly_min_sessions,
        min_cost=Money.parse(f"{settings.anomaly_min_usd:f}"),
        session_cost=Money.parse(f"{settings.anomaly_session_usd:f}"),
    )


def _health(settings: Settings, database: Database) -> SqlWhatIsBehind:
    """Put together what tells what is behind."""
    rules = rules_of(settings) if settings.settles else None
    is_settled = None if rules is None else lambda organisation: rules.of(organisation) is not None
    return SqlWhatIsBehind(database, [backend.name for backend in settings.backends], is_settled, settings.data_dir)


def _sealer(
    settings: Settings, sessions: SqlSessions, metrics: CollectorMetrics, clock: Clock, ids: IdFactory
) -> Sealer:
    """Put together what turns sessions into receipts."""
    rules = SessionRules(
        idle=timedelta(seconds=settings.session_idle_seconds),
        close_grace=timedelta(seconds=settings.session_close_grace_seconds),
        longest=timedelta(seconds=settings.session_max_seconds),
    )
    return Sealer(sessions, rules, metrics, clock, ids)


def _privacy_routes(
    settings: Settings,
    database: Database,
    authenticator: Authenticator,
    privacy: PersonalData,
    clock: Clock,
    ids: IdFactory,
) -> list[web.RouteDef]:
    """Put together what answers about personal data."""
    organisation, disclosures = settings.default_organisation, privacy.disclosures
    holds = HoldsApi(database, authenticator, privacy.holds, privacy.erasures, disclosures, clock, ids, organisation)
    return [
        *holds.routes(),
        *ErasuresApi(database, authenticator, privacy.erasures, disclosures, organisation).routes(),
        *AccessLogApi(database, authenticator, disclosures, organisation).routes(),
        *ReceiptReviewsApi(database, authenticator, privacy.reviews, clock, organisation).routes(),
    ]


@dataclass(frozen=True, slots=True)
class _Feedback:
    routes: list[web.RouteDef]
    keeper: LeaseKeeper
    end_streams: Callable[[], None]
    catalogue: Catalogue


def _feedback(
    settings: Settings,
    database: Database,
    rules: BudgetRules,
    suppressions: Suppressions,
    prices: PriceBook,
    ingest: Ingest,
    authenticator: Authenticator,
    metrics: CollectorMetrics,
    clock: Clock,
    ids: IdFactory,
) -> _Feedback:
    """Put together what decides about calls before they are made."""
    catalogue = load_catalogue(settings.model_catalogue_file)
    policies = Policies()
    database.on_rollback(policies.forget)
    decisions = Decisions(rules, policies.of, catalogue, prices, ids, suppressions)
    times = HoldTimes(
        lease=timedelta(seconds=settings.lease_seconds),
        decision=timedelta(seconds=settings.decision_hold_seconds),
        authorize=timedelta(seconds=settings.authorize_hold_seconds),
    )
    amount = Money.parse(f"{settings.authorize_hold_usd:f}")
    organisation = settings.default_organisation
    api = FeedbackApi(
        database,
        decisions,
        RulesView(catalogue, decisions.card),
        ingest,
        authenticator,
        metrics,
        clock,
        organisation,
        times,
        amount,
    )
    stream = FeedbackStream(database, authenticator, organisation)
    settle_within = timedelta(seconds=settings.lease_settle_seconds)
    grace = timedelta(seconds=settings.unreconciled_grace_seconds)
    expiry = lease_expiry(database, settle_within=settle_within, grace=grace)
    keeper = LeaseKeeper(expiry, lease_count(database), metrics, clock)
    written = PoliciesApi(database, authenticator, catalogue, prices, clock, organisation)
    listed = PricesApi(authenticator, prices, catalogue, clock, organisation)
    return _Feedback(
        [*api.routes(), *stream.routes(), *written.routes(), *listed.routes()], keeper, stream.end, catalogue
    )


@dataclass(frozen=True, slots=True)
class _Settled:
    api: SettlementsApi
    tasks: list[Callable[[], Awaitable[None]]]
    network: TempoNetwork | None
    worker: SettlementWorker | None


def _settlement(
    settings: Settings,
    database: Database,
    signers: LogSigners,
    authenticator: Authenticator,
    metrics: CollectorMetrics,
    clock: Clock,
    ids: IdFactory,
) -> _Settled:
    """Put together what settles, and what compares the chain with that."""
    rules, organisation = rules_of(settings), settings.default_organisation
    if not settings.settles:
        off = SettlementsApi(database, authenticator, rules, None, None, clock, organisation)
        return _Settled(off, [], None, None)
    settler = connect(settings)
    reconciler = SettlementReconciler(
        SqlChainChecks(database, organisation),
        Leadership(database, "settlement-check", ids("clt", clock.now()), clock),
        settler,
        metrics,
        clock,
    )
    worker = SettlementWorker(
        SqlSettlements(database, signers),
        Leadership(database, "settlement", ids("clt", clock.now()), clock),
        settler,
        reconciler,
        MppPayer(SqlMppPayments(database), MppClient(), settler, rules, clock),
        rules,
        triggers_of(settings),
        metrics,
        clock,
        ids,
        settings.settlement_max_fee_per_gas,
    )
    api = SettlementsApi(database, authenticator, rules, settler.network, reconciler, clock, organisation)
    return _Settled(api, [worker.run, reconciler.run], settler.network, worker)


@dataclass(frozen=True, slots=True)
class _Exports:
    api: ExportsApi
    routes: list[web.RouteDef]
    worker: ExportWorker


def _exports(
    settings: Settings,
    database: Database,
    privacy: PersonalData,
    prices: PriceBook,
    authenticator: Authenticator,
    typesetter: Typesetter,
    network: TempoNetwork | None,
    clock: Clock,
    ids: IdFactory,
) -> _Exports:
    """Put together what is taken away."""
    markups = [
        MarkupRule(client=it.client, project=it.project, department=it.department, basis_points=it.basis_points)
        for it in settings.markup
    ]

    listed = load_price_book() if settings.prices else prices  # the list alone

    def find_card(charge: Charge) -> tuple[RateCard | None, RateCard | None]:
        if charge.price != prices.reference:
            return None, None
        named = charge.provider, charge.model, charge.started_at, charge.service_tier
        card, of_list = prices.card(*named), listed.card(*named)
        return card if isinstance(card, RateCard) else None, of_list if isinstance(of_list, RateCard) else None

    folder = ExportFolder(settings.exports_folder)
    worker = ExportWorker(
        SqlExports(database, export_pages(privacy.vault, find_card, markups, network), privacy.disclosures),
        folder,
        Leadership(database, "exports", ids("clt", clock.now()), clock),
        clock,
        keep=timedelta(seconds=settings.export_keep_seconds),
        most_bytes=settings.export_max_bytes,
        version=version("p402-collector"),
    )
    api = ExportsApi(
        database, authenticator, privacy.disclosures, folder, worker.wake, clock, ids, settings.default_organisation
    )
    statements = StatementsApi(database, authenticator, markups, typesetter, clock, settings.default_organisation)
    return _Exports(api, [*api.routes(), *statements.routes()], worker)


@dataclass(frozen=True, slots=True)
class _LookAhead:
    routes: list[web.RouteDef]
    watch: BudgetWatch
    forecasts: Forecasts


def _look_ahead(
    settings: Settings, database: Database, authenticator: Authenticator, metrics: CollectorMetrics, clock: Clock
) -> _LookAhead:
    """Put together what says where spend is heading, and who is told."""
    forecasts = Forecasts(SqlSpendHistory(database))
    forecast = ForecastApi(forecasts, authenticator, clock, settings.default_organisation)
    alerts = AlertsApi(database, authenticator, clock, settings.default_organisation)
    watch = BudgetWatch(SqlBudgetWatch(database), forecasts, metrics, clock)
    return _LookAhead([*forecast.routes(), *alerts.routes()], watch, forecasts)


def _forwarder(
    settings: Settings, database: Database, metrics: CollectorMetrics, clock: Clock, ids: IdFactory
) -> Forwarder:
    holder = ids("clt", clock.now())
    routes = [
        Route(backend, sender, Leadership(database, f"forward:{backend.name}", holder, clock))
        for backend, sender in connect_backends(settings.backends)
    ]
    queue = SqlForwardQueue(database)
    return Forwarder(queue, routes, settings.forward_max_bytes, metrics, clock, SystemRandom().random)
