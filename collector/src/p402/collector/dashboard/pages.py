"""All pages, put together: each is a class of handlers of its own, with the shell around it."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from p402.collector.anomalies.detect import AnomalyRules
from p402.collector.api.exports import ExportsApi
from p402.collector.api.key_changes import KeyChanges
from p402.collector.api.receipt_reviews import ReceiptReviewsApi
from p402.collector.api.sessions import SessionsApi
from p402.collector.api.settlements import SettlementsApi
from p402.collector.dashboard.alerts import AlertsPage
from p402.collector.dashboard.anomalies import AnomalyPages
from p402.collector.dashboard.budget import BudgetPages
from p402.collector.dashboard.budgets import BudgetsPage
from p402.collector.dashboard.errors import pages_of_problems
from p402.collector.dashboard.exports import ExportsPage
from p402.collector.dashboard.health import HealthPages, Installed
from p402.collector.dashboard.keys import KeyPages
from p402.collector.dashboard.live import LiveStream
from p402.collector.dashboard.names import Naming
from p402.collector.dashboard.overview import OverviewPage
from p402.collector.dashboard.policies import PoliciesPage
from p402.collector.dashboard.policy import PolicyPage
from p402.collector.dashboard.receipt import ReceiptPage
from p402.collector.dashboard.receipts import ReceiptsPage
from p402.collector.dashboard.routing import RoutingPage
from p402.collector.dashboard.session import SessionPage
from p402.collector.dashboard.sessions import SessionsPage
from p402.collector.dashboard.set_aside import SetAsidePage
from p402.collector.dashboard.settlements import SettlementsPage
from p402.collector.dashboard.shell import Shell
from p402.collector.dashboard.spend import SpendPages
from p402.collector.forecast.service import Forecasts
from p402.collector.health.behind import WhatIsBehind
from p402.collector.pricing import PriceBook
from p402.collector.storage.database import Database
from p402.collector.storage.disclosures import Disclosures
from p402.collector.storage.log import Signers
from p402.decisions import Catalogue
from p402.receipts.settlement import TempoNetwork
from p402.vocabulary import IdFactory

__all__ = ["Dashboard"]


class Dashboard:
    """The pages of a collector."""

    def __init__(
        self,
        *,
        shell: Shell,
        database: Database,
        forecasts: Forecasts,
        network: TempoNetwork | None,
        disclosures: Disclosures,
        new_id: IdFactory,
        catalogue: Catalogue,
        prices: PriceBook,
        signers: Signers,
        sessions: SessionsApi,
        reviews: ReceiptReviewsApi,
        exports: ExportsApi,
        settlements: SettlementsApi,
        trace_url: str | None,
        keys: KeyChanges,
        anomaly_rules: AnomalyRules,
        health: WhatIsBehind,
        installed: Installed,
    ) -> None:
        naming = Naming(database, disclosures, shell.clock)
        self._live = LiveStream(database, shell.authenticator, shell.default_organisation)
        self._pages = (
            shell,
            OverviewPage(shell, naming, forecasts),
            SpendPages(shell, naming),
            SetAsidePage(shell, database),
            BudgetsPage(shell, naming, forecasts),
            BudgetPages(shell, database, naming, forecasts, new_id),
            PoliciesPage(shell, naming),
            PolicyPage(shell, database, naming, catalogue, prices),
            RoutingPage(shell, naming, catalogue, prices),
            AlertsPage(shell, database, naming),
            SessionsPage(shell, naming),
            SessionPage(shell, naming, sessions, trace_url),
            ReceiptsPage(shell, database, naming, network, disclosures),
            ReceiptPage(shell, database, naming, network, disclosures, reviews, signers),
            ExportsPage(shell, database, exports),
            SettlementsPage(shell, database, network, settlements),
            AnomalyPages(shell, database, naming, anomaly_rules),
            KeyPages(shell, keys, installed.started_at),
            HealthPages(shell, health, installed),
            self._live,
        )
        self.problems: Middleware = pages_of_problems(shell)
        """Shows problems as pages to whoever looks at pages."""

    def routes(self) -> list[web.RouteDef]:
        """Give the routes of all pages."""
        return [route for page in self._pages for route in page.routes()]

    def end_streams(self) -> None:
        """End the streams that pages listen to: the collector stops."""
        self._live.end()
