"""Puts together what decides about spend: leases and decisions, forecasts, anomalies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from aiohttp import web

from p402.collector.anomalies.detect import AnomalyRules
from p402.collector.api.alerts import AlertsApi
from p402.collector.api.auth import Authenticator
from p402.collector.api.feedback import FeedbackApi, HoldTimes
from p402.collector.api.feedback_rules import RulesView
from p402.collector.api.feedback_stream import FeedbackStream
from p402.collector.api.forecast import ForecastApi
from p402.collector.api.policies import PoliciesApi
from p402.collector.api.prices import PricesApi
from p402.collector.budgets.keep import LeaseKeeper
from p402.collector.budgets.watch import BudgetWatch
from p402.collector.forecast.service import Forecasts
from p402.collector.observed_work import Observe
from p402.collector.pipeline.ingest import Ingest
from p402.collector.pricing import PriceBook
from p402.collector.routing.catalogue import load_catalogue
from p402.collector.settings import Settings
from p402.collector.storage.alerts import SqlBudgetWatch
from p402.collector.storage.budget_rules import BudgetRules
from p402.collector.storage.database import Database
from p402.collector.storage.decisions import Decisions
from p402.collector.storage.lease_expiry import lease_count, lease_expiry
from p402.collector.storage.owners import Owners
from p402.collector.storage.policies import Policies
from p402.collector.storage.spend_history import SqlSpendHistory
from p402.decisions import Catalogue
from p402.exporters.prometheus import CollectorMetrics
from p402.vocabulary import Clock, IdFactory, Money

__all__ = ["Feedback", "LookAhead", "anomaly_rules", "build_feedback", "build_look_ahead"]


@dataclass(frozen=True, slots=True)
class Feedback:
    """What decides about calls."""

    routes: list[web.RouteDef]
    keeper: LeaseKeeper
    end_streams: Callable[[], None]
    catalogue: Catalogue


def build_feedback(
    settings: Settings,
    database: Database,
    rules: BudgetRules,
    owners: Owners,
    prices: PriceBook,
    ingest: Ingest,
    authenticator: Authenticator,
    metrics: CollectorMetrics,
    clock: Clock,
    ids: IdFactory,
) -> Feedback:
    """Put together what decides about calls before they are made."""
    catalogue = load_catalogue(settings.model_catalogue_file)
    policies = Policies()
    database.on_rollback(policies.forget)
    decisions = Decisions(rules, policies.of, catalogue, prices, ids, owners)
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
    return Feedback(
        [*api.routes(), *stream.routes(), *written.routes(), *listed.routes()], keeper, stream.end, catalogue
    )


@dataclass(frozen=True, slots=True)
class LookAhead:
    """What says where spend is heading."""

    routes: list[web.RouteDef]
    watch: BudgetWatch
    forecasts: Forecasts


def build_look_ahead(
    settings: Settings,
    database: Database,
    authenticator: Authenticator,
    metrics: CollectorMetrics,
    clock: Clock,
    observe: Observe,
) -> LookAhead:
    """Put together what says where spend is heading, and who is told."""
    forecasts = Forecasts(SqlSpendHistory(database))
    forecast = ForecastApi(forecasts, authenticator, clock, settings.default_organisation)
    alerts = AlertsApi(database, authenticator, clock, settings.default_organisation)
    watch = BudgetWatch(SqlBudgetWatch(database), forecasts, metrics, clock, observe)
    return LookAhead([*forecast.routes(), *alerts.routes()], watch, forecasts)


def anomaly_rules(settings: Settings) -> AnomalyRules:
    """Give the rules by which sessions are flagged."""
    return AnomalyRules(
        factor=Fraction(settings.anomaly_factor),
        min_sessions=settings.anomaly_min_sessions,
        min_cost=Money.parse(f"{settings.anomaly_min_usd:f}"),
        session_cost=Money.parse(f"{settings.anomaly_session_usd:f}"),
    )
