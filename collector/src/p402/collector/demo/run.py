"""The demo: everything real but the models, on this machine, from one call to a verified proof."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from p402.collector.demo.processes import DEV_KEY, DemoImpossible, collector, run_agent, tempo_node
from p402.collector.demo.providers import MockProviders, running
from p402.collector.sessions.signing import LogSigners
from p402.collector.settings import Address
from p402.receipts.cli import main as verify

__all__ = ["Demo"]

_ORGANISATION = "acme"
_ORIGIN = "p402.local"
_REVIEW_SESSION = "review-northwind-2026"
_ANCHOR_SECONDS = 60.0
_LEVELS = ("department", "project", "client", "employee", "session")


@dataclass(frozen=True, slots=True)
class Demo:
    """One run of the demo."""

    data_dir: Path
    listen: str
    console: Console

    async def run(self, *, once: bool) -> bool:
        """Start the parts, tell the story, and serve the page until cancelled; returns whether everything verified.

        Args:
            once: end when the story is told.
        """
        say = self.console.print
        with self.console.status("Starting a local Tempo node, mock providers and the collector …") as status:
            async with (
                tempo_node(self.data_dir / "tempo-node.log") as rpc_url,
                running(MockProviders()) as providers_url,
                collector(self._settings(rpc_url), self.data_dir / "collector.log") as url,
                aiohttp.ClientSession(url, raise_for_status=True) as api,
            ):
                status.stop()
                say(f"[b]Running[/b]   collector {url} · Tempo node {rpc_url} · mock providers {providers_url}\n")
                say("[b]An application works[/b], started with opentelemetry-instrument and not changed:")
                await run_agent(url, providers_url, self.data_dir / "application.log")
                await api.post(f"/v1/sessions/{_REVIEW_SESSION}/close", params={"organisation": _ORGANISATION})
                with self.console.status("Sealing the sessions and anchoring their receipts on Tempo …"):
                    receipts = await self._anchored(api)
                await self._tell(api, receipts)
                verified = await self._verify(api, receipts, rpc_url)
                say(f"\n[b]The page[/b]  {url}/?organisation={_ORGANISATION}")
                if not once:
                    say("Ctrl-C ends the demo.")
                    await asyncio.Event().wait()
        return verified

    def _settings(self, rpc_url: str) -> dict[str, str]:
        key_file = self.data_dir / "settlement.key"
        key_file.touch(mode=0o600)
        key_file.write_text(DEV_KEY)
        return {
            "P402_DATA_DIR": str(self.data_dir),
            "P402_LISTEN": self.listen,
            "P402_DEMO": "1" if Address.parse(self.listen).is_loopback else "0",
            "P402_GRPC_LISTEN": "127.0.0.1:0",
            "P402_DEFAULT_ORGANISATION": _ORGANISATION,
            "P402_RECEIPT_ORIGIN": _ORIGIN,
            "P402_SESSION_IDLE_SECONDS": "2",
            "P402_SESSION_CLOSE_GRACE_SECONDS": "0",
            "P402_SETTLEMENT_MODE": "anchor",
            "P402_SETTLEMENT_NETWORK": "local",
            "P402_SETTLEMENT_RPC_URL": rpc_url,
            "P402_SETTLEMENT_KEY_FILE": str(key_file),
            "P402_SETTLEMENT_INTERVAL_SECONDS": "3",
        }

    async def _anchored(self, api: aiohttp.ClientSession) -> list[dict[str, Any]]:
        """Wait until the receipts cover every charge and are anchored."""
        try:
            async with asyncio.timeout(_ANCHOR_SECONDS):
                while True:
                    receipts: list[dict[str, Any]] = (await _get(api, "/v1/receipts", limit="1000"))["receipts"]
                    charges = (await _get(api, "/v1/charges", limit="1000"))["charges"]
                    covered = sum(receipt["body"]["charges"]["count"] for receipt in receipts)
                    if covered == len(charges) and all(receipt["tempo_tx_hash"] for receipt in receipts):
                        return receipts
                    await asyncio.sleep(0.3)
        except TimeoutError as error:
            raise DemoImpossible(f"The receipts were not anchored in time; see the logs in {self.data_dir}.") from error

    async def _tell(self, api: aiohttp.ClientSession, receipts: list[dict[str, Any]]) -> None:
        say = self.console.print
        say("\n[b]Every call attributed and priced[/b] (— is unattributed)")
        calls = _table("model", "department · client · employee", "tokens in>", "out>", "cost>")
        for charge in (await _get(api, "/v1/charges", limit="1000"))["charges"]:
            owner = (charge[level] or "—" for level in ("department", "client", "employee"))
            tokens = (f"{charge['tokens'][kind]:,}" for kind in ("input", "output"))
            cost = "unpriced" if charge["cost_usd"] is None else f"${charge['cost_usd']}"
            calls.add_row(charge["response_model"], " · ".join(owner), *tokens, cost)
        say(calls)

        say("\n[b]The same money at every level[/b]")
        spend = _table("level", "spend")
        for level in _LEVELS:
            nodes = (await _get(api, "/v1/spend", level=level))["spend"]
            shown = (f"{node[level] or '[i]unattributed[/i]'} ${node['cost_usd']}" for node in nodes)
            spend.add_row(level, " · ".join(shown))
        (total,) = (await _get(api, "/v1/spend", level="organisation"))["spend"]
        spend.add_row("organisation", f"[b]{_ORGANISATION} ${total['cost_usd']}[/b]")
        say(spend)

        say("\n[b]Sessions sealed, receipts anchored on Tempo[/b]")
        sealed = _table("receipt", "department", "cost>", "block>", "transaction")
        for receipt in receipts:
            place = (str(receipt["tempo_block"]), receipt["tempo_tx_hash"][:10] + "…")
            sealed.add_row(receipt["receipt_id"], receipt["department"], f"${receipt['cost_usd']}", *place)
        say(sealed)

    async def _verify(self, api: aiohttp.ClientSession, receipts: list[dict[str, Any]], rpc_url: str) -> bool:
        """Check the reviewed contract's receipt as an auditor would, with the key from the collector's own key file."""
        reviewed = next(receipt for receipt in receipts if receipt["session_id"] == _REVIEW_SESSION)
        bundle = self.data_dir / "bundle.json"
        async with api.get(f"/v1/receipts/{reviewed['receipt_id']}.json") as response:
            bundle.write_bytes(await response.read())
        key = self.data_dir / "receipt-key.txt"
        key.write_text(
            LogSigners(self.data_dir / "keys" / "log.pem", _ORIGIN).signer(_ORGANISATION).verifier_key + "\n"
        )
        command = [str(bundle), "--key", str(key), "--rpc", rpc_url]
        self.console.print(
            "\n[b]An auditor checks it[/b]", f"p402-verify {' '.join(command)}", sep="\n", soft_wrap=True
        )
        return await asyncio.to_thread(verify, command) == 0


def _table(*columns: str) -> Table:
    """Make a table; a name that ends in ``>`` is a column of figures. Amounts and ids are never cut, owners may wrap."""
    table = Table(box=None)
    for column in columns:
        wraps = "·" in column or column == "spend"
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", no_wrap=not wraps)
    return table


async def _get(api: aiohttp.ClientSession, path: str, **query: str) -> Any:
    async with api.get(path, params={"organisation": _ORGANISATION, **query}) as response:
        return await response.json()
