"""Puts together what proves spend: receipts, settlements, exports, and what is done about personal data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version

from aiohttp import web

from p402.collector.api.access_log import AccessLogApi
from p402.collector.api.auth import Authenticator
from p402.collector.api.directory import DirectoryApi
from p402.collector.api.erasures import ErasuresApi
from p402.collector.api.exports import ExportsApi
from p402.collector.api.holds import HoldsApi
from p402.collector.api.receipt_reviews import ReceiptReviewsApi
from p402.collector.api.settlements import SettlementsApi
from p402.collector.api.statements import StatementsApi
from p402.collector.api.typesetting import Typesetter
from p402.collector.exports.folder import ExportFolder
from p402.collector.exports.worker import ExportWorker
from p402.collector.observed_work import Observe
from p402.collector.pricing import PriceBook, load_price_book
from p402.collector.sessions.seal import Sealer
from p402.collector.sessions.signing import LogSigners
from p402.collector.sessions.track import SessionRules
from p402.collector.settings import Settings
from p402.collector.settlement.connect import connect, rules_of, triggers_of
from p402.collector.settlement.mpp import MppPayer
from p402.collector.settlement.mpp_client import MppClient
from p402.collector.settlement.reconcile import SettlementReconciler
from p402.collector.settlement.worker import SettlementWorker
from p402.collector.storage.chain_checks import SqlChainChecks
from p402.collector.storage.database import Database
from p402.collector.storage.export_pages import export_pages
from p402.collector.storage.exports import SqlExports
from p402.collector.storage.leaders import Leadership
from p402.collector.storage.mpp_payments import SqlMppPayments
from p402.collector.storage.personal_data import PersonalData
from p402.collector.storage.sessions import SqlSessions
from p402.collector.storage.settlements import SqlSettlements
from p402.decisions import RateCard
from p402.exporters.documents.statement import MarkupRule
from p402.exporters.prometheus import CollectorMetrics
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import Charge, Clock, IdFactory

__all__ = ["Exports", "Settled", "build_exports", "build_sealer", "build_settlement", "privacy_routes"]


def build_sealer(
    settings: Settings,
    sessions: SqlSessions,
    metrics: CollectorMetrics,
    clock: Clock,
    ids: IdFactory,
    observe: Observe,
) -> Sealer:
    """Put together what turns sessions into receipts."""
    rules = SessionRules(
        idle=timedelta(seconds=settings.session_idle_seconds),
        close_grace=timedelta(seconds=settings.session_close_grace_seconds),
        longest=timedelta(seconds=settings.session_max_seconds),
    )
    return Sealer(sessions, rules, metrics, clock, ids, observe)


def privacy_routes(
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
        *DirectoryApi(database, authenticator, disclosures, clock, ids, organisation).routes(),
        *AccessLogApi(database, authenticator, disclosures, organisation).routes(),
        *ReceiptReviewsApi(database, authenticator, privacy.reviews, clock, organisation).routes(),
    ]


@dataclass(frozen=True, slots=True)
class Settled:
    """What settles; nothing works where settlement is off."""

    api: SettlementsApi
    tasks: list[Callable[[], Awaitable[None]]]
    network: TempoNetwork | None
    worker: SettlementWorker | None


def build_settlement(
    settings: Settings,
    database: Database,
    signers: LogSigners,
    authenticator: Authenticator,
    metrics: CollectorMetrics,
    clock: Clock,
    ids: IdFactory,
    observe: Observe,
) -> Settled:
    """Put together what settles, and what compares the chain with that."""
    rules, organisation = rules_of(settings), settings.default_organisation
    if not settings.settles:
        off = SettlementsApi(database, authenticator, rules, None, None, clock, organisation)
        return Settled(off, [], None, None)
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
        observe,
    )
    api = SettlementsApi(database, authenticator, rules, settler.network, reconciler, clock, organisation)
    return Settled(api, [worker.run, reconciler.run], settler.network, worker)


@dataclass(frozen=True, slots=True)
class Exports:
    """What is taken away."""

    api: ExportsApi
    routes: list[web.RouteDef]
    worker: ExportWorker


def build_exports(
    settings: Settings,
    database: Database,
    privacy: PersonalData,
    prices: PriceBook,
    authenticator: Authenticator,
    typesetter: Typesetter,
    network: TempoNetwork | None,
    clock: Clock,
    ids: IdFactory,
    observe: Observe,
) -> Exports:
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
        observe=observe,
    )
    api = ExportsApi(
        database, authenticator, privacy.disclosures, folder, worker.wake, clock, ids, settings.default_organisation
    )
    statements = StatementsApi(database, authenticator, markups, typesetter, clock, settings.default_organisation)
    return Exports(api, [*api.routes(), *statements.routes()], worker)
