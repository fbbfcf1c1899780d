"""The demo: everything real but the models and the people, on this machine: a month of Acme, and calls that still arrive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.status import Status

from p402.collector.address import Address
from p402.collector.demo.acme import live
from p402.collector.demo.acme.history import History
from p402.collector.demo.acme.people import ORGANISATION, directory
from p402.collector.demo.processes import (
    DEV_KEY,
    DemoImpossible,
    Driver,
    collector,
    driver,
    feed_history,
    run_agent,
    tempo_node,
)
from p402.collector.demo.providers import MockProviders, running
from p402.collector.demo.story import Story, ask
from p402.collector.sessions.signing import LogSigners
from p402.receipts.cli import main as verify

__all__ = ["Demo"]

_ORIGIN = "p402.local"
_REVIEW_SESSION = "review-northwind-2026"
_ANCHOR_SECONDS = 90.0
_DECISION_SECONDS = 30.0
_CALLS_PER_SECOND = 2.0


@dataclass(frozen=True, slots=True)
class Demo:
    """One run of the demo."""

    data_dir: Path
    listen: str
    console: Console
    days: int
    """Of Acme's past, today included."""
    seed: int

    async def run(self, *, once: bool) -> bool:
        """Start the parts, tell the story, and serve the page until cancelled; returns whether everything verified.

        Args:
            once: end when the story is told.
        """
        say = self.console.print
        with self.console.status("Starting a local Tempo node, mock providers and the collector …") as status:
            async with (
                tempo_node(self.data_dir / "tempo-node.log", self.data_dir / "tempo-node.json") as rpc_url,
                running(_forgetful(MockProviders())) as providers_url,
                self._collector(rpc_url, status) as url,
                driver(url, providers_url, self.data_dir / "live.log") as application,
                aiohttp.ClientSession(url, raise_for_status=True) as api,
            ):
                status.stop()
                say(f"[b]Running[/b]   collector {url} · Tempo node {rpc_url} · mock providers {providers_url}\n")
                story, history = Story(api, self.console), History.of(self.data_dir)
                assert history is not None, "it was fed before the collector started"
                await self._import_directory(api)
                await story.tell_past()
                say("\n[b]An application works[/b], started with opentelemetry-instrument and not changed:")
                since = datetime.now(UTC)
                await run_agent(url, providers_url, self.data_dir / "application.log")
                charges = await self._agents_charges(api, history.charges)
                story.tell_calls(charges)
                await self._tell_gate(story, application, api, history.charges)
                with self.console.status("Sealing the sessions and anchoring their receipts on Tempo …"):
                    receipts = await self._anchored(api, charges, since)
                story.tell_receipts(receipts)
                verified = await self._verify(api, receipts, rpc_url)
                say(f"\n[b]The page[/b]  {url}/?organisation={ORGANISATION}")
                if not once:
                    say(f"Calls go on arriving, {_CALLS_PER_SECOND:g} a second.")
                    say("Ctrl-C ends the demo.")
                    await self._go_on(application)
        return verified

    @asynccontextmanager
    async def _collector(self, rpc_url: str, status: Status) -> AsyncIterator[str]:
        """Feed what is missing of the past, then run the collector."""
        settings = self._settings(rpc_url)
        arguments = ("--days", str(self.days), "--seed", str(self.seed))
        off = {"P402_SETTLEMENT_MODE": "off", "P402_SESSION_IDLE_SECONDS": "900"}
        async for line in feed_history(settings | off, arguments, self.data_dir / "history.log"):
            status.update(f"Acme's past, through the real pipeline … {line}")
        async with collector(settings, self.data_dir / "collector.log") as url:
            yield url

    def _settings(self, rpc_url: str) -> dict[str, str]:
        key_file = self.data_dir / "settlement.key"
        key_file.touch(mode=0o600)
        key_file.write_text(DEV_KEY)
        return {
            "P402_DATA_DIR": str(self.data_dir),
            "P402_LISTEN": self.listen,
            "P402_DEMO": "1" if Address.parse(self.listen).is_loopback else "0",
            "P402_GRPC_LISTEN": "127.0.0.1:0",
            "P402_DEFAULT_ORGANISATION": ORGANISATION,
            "P402_RECEIPT_ORIGIN": _ORIGIN,
            "P402_SESSION_IDLE_SECONDS": "8",
            "P402_SESSION_CLOSE_GRACE_SECONDS": "0",
            "P402_SETTLEMENT_MODE": "anchor",
            "P402_SETTLEMENT_NETWORK": "local",
            "P402_SETTLEMENT_RPC_URL": rpc_url,
            "P402_SETTLEMENT_KEY_FILE": str(key_file),
            "P402_SETTLEMENT_INTERVAL_SECONDS": "3",
        }

    async def _import_directory(self, api: aiohttp.ClientSession) -> None:
        """Say who works at Acme, and what people and departments are called."""
        document = json.dumps(directory(self.seed)).encode()
        async with api.put(
            "/v1/directory",
            params={"organisation": ORGANISATION},
            data=document,
            headers={"Content-Type": "application/scim+json"},
        ) as response:
            imported = await response.json()
        people, departments = (sum(imported[kind].values()) for kind in ("people", "departments"))
        self.console.print(f"[b]The directory[/b] has names for {people} people in {departments} departments\n")

    async def _agents_charges(self, api: aiohttp.ClientSession, after: int) -> list[dict[str, Any]]:
        """Give the charges of the application, and say that its sessions are over."""
        charges: list[dict[str, Any]] = (await ask(api, "/v1/charges", after=str(after), limit="1000"))["charges"]
        for session in {charge["session"] for charge in charges if charge["session"]}:
            await api.post(f"/v1/sessions/{session}/close", params={"organisation": ORGANISATION})
        return charges

    async def _tell_gate(self, story: Story, application: Driver, api: aiohttp.ClientSession, after: int) -> None:
        """Have one call moved to a cheaper model, and one refused; show why."""
        now = datetime.now(UTC)
        staged = [*live.downgraded(now), *live.blocked(now)]
        sessions = {call["session"] for call in staged}
        for call in staged:
            await application.tell(call)
        ended = [await application.ended() for _ in staged]
        try:
            async with asyncio.timeout(_DECISION_SECONDS):
                while True:
                    charges = (await ask(api, "/v1/charges", after=str(after), limit="1000"))["charges"]
                    moved = [c for c in charges if c["session"] in sessions and c["verdict"] == "downgrade"]
                    refusals = (await ask(api, "/v1/decisions", verdict="block"))["decisions"]
                    refused = [each for each in refusals if each["question"].get("session") in sessions]
                    if moved and refused:
                        break
                    await asyncio.sleep(0.3)
        except TimeoutError as error:
            raise DemoImpossible(f"The gate did not decide as it should; see the logs in {self.data_dir}.") from error
        story.tell_gate(moved[0], refused[0], ended)

    async def _anchored(
        self, api: aiohttp.ClientSession, charges: Sequence[dict[str, Any]], since: datetime
    ) -> list[dict[str, Any]]:
        """Wait until receipts cover every charge of the application and are anchored."""
        scopes = {(charge["department"], charge["session"]) for charge in charges}
        try:
            async with asyncio.timeout(_ANCHOR_SECONDS):
                while True:
                    page = await ask(api, "/v1/receipts", limit="1000", **{"from": since.isoformat()})
                    receipts = [
                        receipt
                        for receipt in page["receipts"]
                        if (receipt["department"], receipt["session_id"]) in scopes
                    ]
                    covered = sum(receipt["body"]["charges"]["count"] for receipt in receipts)
                    if covered == len(charges) and all(receipt["tempo_tx_hash"] for receipt in receipts):
                        return receipts
                    await asyncio.sleep(0.3)
        except TimeoutError as error:
            raise DemoImpossible(f"The receipts were not anchored in time; see the logs in {self.data_dir}.") from error

    async def _verify(self, api: aiohttp.ClientSession, receipts: list[dict[str, Any]], rpc_url: str) -> bool:
        """Check the reviewed contract's receipt as an auditor would, with the key from the collector's own key file."""
        reviewed = next(receipt for receipt in receipts if receipt["session_id"] == _REVIEW_SESSION)
        bundle = self.data_dir / "bundle.json"
        async with api.get(f"/v1/receipts/{reviewed['receipt_id']}.json") as response:
            bundle.write_bytes(await response.read())
        key = self.data_dir / "receipt-key.txt"
        signer = LogSigners(self.data_dir / "keys" / "log.pem", _ORIGIN).signer(ORGANISATION)
        key.write_text(signer.verifier_key + "\n")
        command = [str(bundle), "--key", str(key), "--rpc", rpc_url]
        self.console.print(
            "\n[b]An auditor checks it[/b]", f"p402-verify {' '.join(command)}", sep="\n", soft_wrap=True
        )
        return await asyncio.to_thread(verify, command) == 0

    async def _go_on(self, application: Driver) -> None:
        """Let people work until cancelled."""

        async def listen() -> None:
            while True:
                await application.ended()

        async with asyncio.TaskGroup() as together:
            together.create_task(listen())
            for order in live.orders(self.seed, datetime.now(UTC)):
                await application.tell(order)
                await asyncio.sleep(1 / _CALLS_PER_SECOND)


class _Nothing(list[Any]):
    """A list that stays empty."""

    def append(self, _: Any) -> None:
        """Forget it."""


def _forgetful(providers: MockProviders) -> MockProviders:
    """Have them forget the requests, which tests look at, since a demo may run for days."""
    providers.requests = _Nothing()
    return providers
