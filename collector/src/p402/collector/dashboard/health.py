"""How the collector is, for people: what is behind, in words, and what to do about it; and the runbook that says more."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from aiohttp import web

from p402.collector.api.endpoint import Caller, endpoint
from p402.collector.dashboard.runbook import read_runbook
from p402.collector.dashboard.shell import HTML, Pages, Shell
from p402.collector.dashboard.view import View
from p402.collector.health.behind import WhatIsBehind
from p402.collector.health.verdicts import State, in_words, verdicts
from p402.vocabulary import Transient

__all__ = ["HealthPages", "Installed"]

_PARTS = ("p402-collector", "p402-exporters", "p402-receipts")


@dataclass(frozen=True, slots=True)
class Installed:
    """What of a collector does not change while it runs."""

    started_at: datetime
    database: str
    """Which kind: SQLite, PostgreSQL."""
    checkpoint_seconds: float
    """After so long an idle log is signed again."""


class HealthPages(Pages):
    """The handlers."""

    def __init__(self, shell: Shell, store: WhatIsBehind, installed: Installed) -> None:
        super().__init__(shell)
        self._store = store
        self._installed = installed
        self._runbook = read_runbook()
        self._versions = {name: version(name) for name in _PARTS} | {"Python": platform.python_version()}

    @endpoint("GET /health", scope="spend:read", answers={200: HTML, 503: HTML})
    async def health(self, request: web.Request, caller: Caller, query: View) -> web.Response:
        """Say what is behind, in words, and what to do; the same as ``/readyz`` says to programs."""
        now = self._shell.clock.now()
        try:
            behind = await self._store.behind(now)
        except Transient:
            behind = None
        found = verdicts(behind, self._installed.checkpoint_seconds)
        return self._shell.page(
            request,
            caller,
            query,
            "health.html",
            live=False,
            status=200 if behind else 503,
            verdicts=found,
            wants_look=sum(one.state is State.LOOK for one in found),
            versions=self._versions,
            installed=self._installed,
            running=in_words((now - self._installed.started_at).total_seconds()),
            now=now,
        )

    @endpoint("GET /runbook", scope="spend:read", answers={200: HTML})
    async def runbook(self, request: web.Request, caller: Caller, query: View) -> web.Response:
        """Show what each alert means, and what to do about it."""
        return self._shell.page(request, caller, query, "runbook.html", live=False, sections=self._runbook)
