"""A collector with something to show of proof: sessions, receipts that a real Tempo node anchors, and a call that was refused."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.anvil import DEV_KEYS, Anvil, anvil_node
from support.collector import RunningCollector, eventually, running_collector
from support.otlp import ASpan, request_of

ODD_ID = "notes/draft 1? #ü%2F"
"""An id that an address must not be able to misread."""

ELSEWHERE = {"p402.department": "marketing", "p402.project": "website", "p402.client": None, "p402.employee": "e-2007"}
DOWNGRADED = {
    "gen_ai.request.model": "claude-haiku-4-5",
    "gen_ai.response.model": "claude-haiku-4-5",
    "gen_ai.response.time_to_first_chunk": 0.412,
    "p402.decision.verdict": "downgrade",
    "p402.decision.code": "above_max_tier",
    "p402.decision.original_model": "claude-opus-4-5",
    "p402.decision.rationale": "dept_policy=cost-first, max_tier=standard, model=claude-haiku-4-5",
    "p402.task_type": "summarise",
}
REFUSED = {
    "gen_ai.usage.input_tokens": None,
    "gen_ai.usage.output_tokens": None,
    "gen_ai.response.model": None,
    "p402.decision.verdict": "block",
    "p402.decision.code": "budget_exhausted",
    "p402.decision.rationale": "budget=legal-month, left=0.01",
}


@dataclass(frozen=True)
class Proved:
    """The collector, and what it was told."""

    collector: RunningCollector
    node: Anvil
    settings: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.collector.url

    def send(self, *spans: ASpan) -> None:
        assert self.collector.export(request_of(spans)).status_code == 200

    def close(self, session: str, receipts: int) -> str:
        """Close a session; gives the id of its receipt, which is the last of so many."""
        self.collector.post(f"/v1/sessions/{session}/close")
        found = eventually(lambda: self.receipts() if len(self.receipts()) == receipts else None)
        return str(found[-1]["receipt_id"])

    def receipts(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.collector.get("/v1/receipts")["receipts"]
        return found

    def in_list(self, session: str) -> bool:
        """Whether the log of sessions has it; the roll-up is half a second behind."""
        return session in self.collector.text("/sessions", begins=session)


@contextmanager
def proved_collector(folder: Path) -> Iterator[Proved]:
    """Run one with an anchored receipt of a session of three calls, of which one was refused and one downgraded; one that is
    not yet anchored; and two open sessions of one odd id."""
    key_file = folder / "settlement.key"
    key_file.write_text(DEV_KEYS[0])
    with anvil_node(block_time=1) as node:
        settings = {
            "P402_DEFAULT_ORGANISATION": "acme",
            "P402_ANOMALY_SESSION_USD": "0.3",
            "P402_DASHBOARD_TRACE_URL": "https://jaeger.example/trace/{trace_id}",
            "P402_SETTLEMENT_MODE": "anchor",
            "P402_SETTLEMENT_NETWORK": "local",
            "P402_SETTLEMENT_RPC_URL": node.url,
            "P402_SETTLEMENT_KEY_FILE": str(key_file),
            "P402_SETTLEMENT_EXPLORER_URL": "https://explorer.example",
            "P402_SETTLEMENT_INTERVAL_SECONDS": "3600",
        }
        with running_collector(folder / "data", settings) as collector:
            proved = Proved(collector, node, settings)
            proved.send(ASpan.of({"gen_ai.response.id": "msg_1"}, started_ns=0))
            proved.send(ASpan.of(REFUSED, started_ns=0))
            proved.send(ASpan.of({"gen_ai.response.id": "msg_2", **DOWNGRADED}, started_ns=0))
            proved.close("review-7", receipts=1)
            eventually(lambda: proved.receipts()[0]["tempo_tx_hash"])
            unheard = {"gen_ai.request.model": "gpt-unheard-of", "gen_ai.response.model": None}
            proved.send(
                ASpan.of({**ELSEWHERE, "p402.session": "campaign-1"}, started_ns=0),
                ASpan.of({**ELSEWHERE, "p402.session": "campaign-1", **unheard}, started_ns=0),
            )
            proved.close("campaign-1", receipts=2)
            proved.send(
                ASpan.of({"p402.session": ODD_ID}, started_ns=0),
                ASpan.of({**ELSEWHERE, "p402.session": ODD_ID}, started_ns=0),
            )
            eventually(lambda: proved.in_list("notes"))
            yield proved


@contextmanager
def tampered_copy(proved: Proved, folder: Path, *changes: tuple[str, tuple[object, ...]]) -> Iterator[RunningCollector]:
    """Run another collector on a copy of the books, in which somebody has changed something."""
    folder.mkdir()
    original = proved.collector.data_dir
    with (
        closing(sqlite3.connect(original / "p402.sqlite3")) as source,
        closing(sqlite3.connect(folder / "p402.sqlite3")) as copy,
    ):
        source.backup(copy)
        for statement, values in changes:
            assert copy.execute(statement, values).rowcount > 0, statement
        copy.commit()
    shutil.copytree(original / "keys", folder / "keys")
    with running_collector(folder, proved.settings) as collector:
        yield collector
