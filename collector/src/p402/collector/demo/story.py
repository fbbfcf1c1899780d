"""What the demo prints: figures that it asks the running collector for, as anybody could."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from p402.collector.demo.acme.people import ORGANISATION

__all__ = ["Story", "ask"]

_LEVELS = ("department", "project", "client", "employee", "session")
_DAYS = timedelta(days=30)
_SHOWN = 3  # nodes of a level, and reasons to look at something


async def ask(api: aiohttp.ClientSession, path: str, **query: str) -> Any:
    """Ask the collector about Acme."""
    async with api.get(path, params={"organisation": ORGANISATION, **query}) as response:
        return await response.json()


class Story:
    """Tells it, part by part."""

    def __init__(self, api: aiohttp.ClientSession, console: Console) -> None:
        self._api = api
        self._console = console

    async def tell_past(self) -> None:
        """Tell of the last thirty days, of budgets and where they are heading, and of what waits for a person."""
        since = (datetime.now(UTC) - _DAYS).isoformat()
        (total,) = (await ask(self._api, "/v1/spend", level="organisation", **{"from": since}))["spend"]
        say = self._console.print
        say(f"[b]Acme Corp, the last 30 days[/b]: {total['charges']:,} calls, [b]${_usd(total['cost_usd'])}[/b]")
        say("\n[b]The same money at every level[/b]")
        spend = _table("level", "nodes>", "spend")
        for level in _LEVELS:
            nodes = (await ask(self._api, "/v1/spend", level=level, **{"from": since}))["spend"]
            shown = [f"{node[level] or '[i]unattributed[/i]'} ${_usd(node['cost_usd'])}" for node in nodes[:_SHOWN]]
            spend.add_row(level, f"{len(nodes):,}", " · ".join([*shown, "…"] if len(nodes) > _SHOWN else shown))
        spend.add_row("request", f"{total['charges']:,}", "each call has its own charge, to the nano-dollar")
        say(spend)
        await self._tell_budgets()
        await self._tell_what_waits()

    def tell_calls(self, charges: Sequence[dict[str, Any]]) -> None:
        """Tell what calls became."""
        self._console.print("\n[b]Every call attributed and priced[/b] (— is unattributed)")
        calls = _table("model", "department · client · employee", "tokens in>", "out>", "cost>")
        for charge in charges:
            owner = (charge[level] or "—" for level in ("department", "client", "employee"))
            tokens = (f"{charge['tokens'][kind]:,}" for kind in ("input", "output"))
            cost = "unpriced" if charge["cost_usd"] is None else f"${charge['cost_usd']}"
            calls.add_row(charge["response_model"], " · ".join(owner), *tokens, cost)
        self._console.print(calls)

    def tell_gate(self, moved: dict[str, Any], refused: dict[str, Any], ended: Sequence[dict[str, Any]]) -> None:
        """Tell of a call that was moved to a cheaper model, and of one that was refused."""
        say = self._console.print
        say("\n[b]Policies and budgets decide before a call is made[/b]")
        asked = next(each["model"] for each in ended if each["session"] == moved["session"])
        say(
            f"downgraded  {moved['department']} asked {asked} and was answered by {moved['response_model']}, ${moved['cost_usd']}"
        )
        say(f"            why: {moved['routing_rationale']}", soft_wrap=True)
        answers = [each for each in ended if each["session"] == refused["question"]["session"]]
        went, message = (
            sum(1 for each in answers if each["answered_by"]),
            next(a["refused"] for a in answers if a["refused"]),
        )
        say(f"blocked     an agent of {refused['question']['department']} after {went} calls; code {refused['code']}")
        say(f"            why: {refused['rationale']}", soft_wrap=True)
        say(f"            the application sees its SDK's own error: {message}", soft_wrap=True, markup=False)

    def tell_receipts(self, receipts: Sequence[dict[str, Any]]) -> None:
        """Tell where receipts are anchored."""
        self._console.print("\n[b]Sessions sealed, receipts anchored on Tempo[/b]")
        sealed = _table("receipt", "department", "cost>", "block>", "transaction")
        for receipt in receipts:
            place = (str(receipt["tempo_block"]), receipt["tempo_tx_hash"][:10] + "…")
            sealed.add_row(receipt["receipt_id"], receipt["department"], f"${receipt['cost_usd']}", *place)
        self._console.print(sealed)

    async def _tell_budgets(self) -> None:
        self._console.print("\n[b]Budgets of this month, and where they are heading[/b]")
        heading = _table("budget", "spent>", "cap>", "projected>", "of the cap>")
        for budget in (await ask(self._api, "/v1/budgets", limit="1000"))["budgets"]:
            if budget["period"] != "month" or budget["level"] == "request":
                continue
            asked = {"level": budget["level"], "node": budget["node"], "cap_usd": budget["cap_in_force"]}
            forecast = await ask(self._api, "/v1/forecast", **asked)
            projected = Decimal(forecast["forecast"]["projected_usd"])
            part = 100 * projected / Decimal(budget["cap_in_force"])
            near = "[b red]" if part > 90 else ""  # noqa: PLR2004 - as the alert does
            amounts = (forecast["spent_usd"], budget["cap_in_force"], str(projected))
            heading.add_row(budget["name"], *(f"${_usd(amount)}" for amount in amounts), f"{near}{part:.0f} %")
        self._console.print(heading)

    async def _tell_what_waits(self) -> None:
        say = self._console.print
        alerts = (await ask(self._api, "/v1/alerts", limit="1000"))["alerts"]
        anomalies = (await ask(self._api, "/v1/anomalies", state="open", limit="1000"))["anomalies"]
        say(f"\n[b]What waits for a person[/b]: {len(alerts)} alerts, {len(anomalies)} anomalies")
        for alert in alerts[-_SHOWN:]:
            say(f"{alert['raised_at'][:10]}  {alert['budget']}: {alert['kind']} above {alert['percent']} %")
        for anomaly in anomalies[-_SHOWN:]:
            mean = f"; the mean of {anomaly['baseline']['sessions']} others is ${_usd(anomaly['baseline']['mean_usd'])}"
            say(
                f"{anomaly['flagged_at'][:10]}  a session of {anomaly['employee']} cost ${_usd(anomaly['cost_usd'])}{mean}"
            )


def _usd(amount: str) -> str:
    """Write an amount as people do."""
    return f"{Decimal(amount):,.2f}"


def _table(*columns: str) -> Table:
    """Make a table; a name that ends in ``>`` is a column of figures. Amounts and ids are never cut, owners may wrap."""
    table = Table(box=None)
    for column in columns:
        wraps = "·" in column or column == "spend"
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", no_wrap=not wraps)
    return table
