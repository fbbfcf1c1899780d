"""Books whose receipts are settled on a real node, a step at a time; blocks are made when a test says so."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from p402.collector.settlement.mpp_client import MppClient
from p402.collector.settlement.ports import Settlement
from p402.collector.settlement.rules import SettlementRules
from p402.collector.storage.settlements import SqlSettlements
from p402.receipts import TRANSFER_WITH_MEMO
from p402.receipts.settlement import LOCAL, TempoNetwork
from p402.receipts.settlement.tempo import TempoSettler
from support.anvil import DEV_KEYS, Anvil
from support.clock import FakeClock
from support.open_books import open_books
from support.settling import PAY, Settling


@asynccontextmanager
async def settling_on(
    node: Anvil,
    folder: Path,
    rules: SettlementRules,
    clock: FakeClock | None = None,
    key: str = DEV_KEYS[0],
    payer: str | None = None,
    **network: Any,
) -> AsyncIterator[Settling]:
    """Open the books in a folder for settling on a node; opening them again is a restart."""
    at: TempoNetwork = replace(LOCAL, rpc_url=node.url, **network)
    settler = TempoSettler(at, key, payer)
    async with open_books(folder, clock) as books:
        payee = MppClient()
        store = SqlSettlements(books.database, books.signers)
        yield Settling(books, node, settler, store, rules, payee=payee)
        await payee.close()
    await settler.close()


def new_address() -> str:
    """An address that nobody has used."""
    return "0x" + secrets.token_hex(20)


def paying(payee: str, **change: Any) -> SettlementRules:
    """Everybody's usage is paid to one payee."""
    return SettlementRules(replace(PAY, payee=payee, **change))


async def drive(at_work: Settling, rounds: int = 3) -> None:
    """Let everything under way land and become final."""
    for _ in range(rounds):
        await at_work.step()
        at_work.chain.mine(4)
        await at_work.step()


def times_on_chain(node: Anvil, settlement: Settlement) -> int:
    """How often the chain has a settlement's memo."""
    topics = [TRANSFER_WITH_MEMO, None, None, "0x" + settlement.statement.memo().hex()]
    return len(node.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "topics": topics}))


def balance(node: Anvil, account: str, token: str = LOCAL.token) -> int:
    """What an account holds, in micro-dollars."""
    return int(node.rpc("eth_call", {"to": token, "data": "0x70a08231" + account[2:].rjust(64, "0")}, "latest"), 16)
