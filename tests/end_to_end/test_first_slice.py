"""One call becomes a span, a charge, a sealed receipt, an anchor on Tempo, and a verified proof; with the real parts.

Real: the SDKs of OpenAI, Anthropic and Google, opentelemetry-instrument, the collector as a process, a Tempo node,
p402-verify. Simulated: the models. Costs are worked out by hand from the providers' price pages, USD a million tokens.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.demo.providers import MockProviders, Reply
from p402.receipts import Trust, verify
from support.anvil import DEV_KEYS, Anvil, anvil_node
from support.collector import RunningCollector, eventually, running_collector
from support.pdf_reading import read_pdf
from support.providers import providers_thread
from support.wiretap import attributes, wiretap

BIN = Path(sys.executable).parent
APPLICATION = Path(__file__).parents[1] / "support" / "slice_application.py"
TRANSFER_WITH_MEMO = "0x57bc7354aa85aed339e000bccffabbc529466af35f0772c8f8ee1145927de7f0"

REPLIES = {
    "claude-opus-4-5": Reply("a" * 400, 2847, 10_000),
    "claude-haiku-4-5": Reply(
        "b" * 40, 1000, 50, cache_read_tokens=400, cache_write_tokens=300, cache_write_1h_tokens=100
    ),
    "gpt-4o": Reply("c" * 40, 1200, 300, cache_read_tokens=200),
    "gpt-4o-mini": Reply("d" * 40, 333, 77),
    "gemini-2.5-flash": Reply("e" * 40, 1000, 500),
    "claude-sonnet-4-5": Reply("f" * 40, 1500, 200),
    "gpt-4.1": Reply("g" * 40, 2000, 125),
    "gemini-2.5-pro": Reply("h" * 40, 2000, 100, reasoning_tokens=30),
    "text-embedding-3-small": Reply("", 50, 0),
    "gpt-unheard-of": Reply("i" * 40, 10, 10),
}
COSTS = {  # model: USD, and how it comes about
    "claude-opus-4-5": "0.264235",  # 2,847 x 5 + 10,000 x 25
    "claude-haiku-4-5": "0.00104",  # 300 x 1 + 400 x 0.10 read + 200 x 1.25 + 100 x 2 written + 50 x 5
    "gpt-4o": "0.00575",  # 1,000 x 2.50 + 200 x 1.25 read + 300 x 10
    "gpt-4o-mini": "0.00009615",  # 333 x 0.15 + 77 x 0.60
    "gemini-2.5-flash": "0.00155",  # 1,000 x 0.30 + 500 x 2.50
    "claude-sonnet-4-5": "0.0075",  # 1,500 x 3 + 200 x 15
    "gpt-4.1": "0.005",  # 2,000 x 2 + 125 x 8
    "gemini-2.5-pro": "0.0035",  # 2,000 x 1.25 + 100 x 10
    "text-embedding-3-small": "0.000001",  # 50 x 0.02
    "gpt-unheard-of": None,
}
REVIEW_COST = "0.28867115"  # the first eight
TOTAL_COST = "0.28867215"  # and the embedding


@dataclass(frozen=True)
class Slice:
    """Everything after the application has run and its session is anchored."""

    collector: RunningCollector
    node: Anvil
    providers: MockProviders
    spans: list[Span]
    review: dict[str, Any]
    """The receipt of the session that the application named."""
    key: str
    """The key that the auditor pins."""

    def charges(self) -> list[dict[str, Any]]:
        charges: list[dict[str, Any]] = self.collector.get("/v1/charges", organisation="acme")["charges"]
        return charges

    def spend(self, level: str) -> dict[str | None, str]:
        spend = self.collector.get("/v1/spend", organisation="acme", level=level)["spend"]
        return {node[level]: node["cost_usd"] for node in spend}

    def bundle(self) -> bytes:
        return self.collector.text(f"/v1/receipts/{self.review['receipt_id']}.json").encode()

    def failing_links(self, bundle: bytes) -> set[str]:
        """What a verifier that pins the key, and asks no chain, finds broken."""
        report = verify(bundle, Trust(verifier_keys=(self.key,)))
        return {check.link.value for check in report.checks if check.status.value == "failed"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slice]:
    folder = tmp_path_factory.mktemp("first-slice")
    key_file = folder / "settlement.key"
    key_file.write_text(DEV_KEYS[0])
    providers = MockProviders(lambda call: REPLIES[call.model])
    with anvil_node(block_time=1) as node, providers_thread(providers) as providers_url:
        settings = {
            "P402_SETTLEMENT_MODE": "anchor",
            "P402_SETTLEMENT_NETWORK": "local",
            "P402_SETTLEMENT_RPC_URL": node.url,
            "P402_SETTLEMENT_KEY_FILE": str(key_file),
            "P402_SETTLEMENT_INTERVAL_SECONDS": "0",
        }
        with running_collector(folder / "data", settings) as collector, wiretap(collector.url) as tap:
            run_application(tap.url, providers_url)
            eventually(lambda: len(collector.get("/v1/charges", organisation="acme")["charges"]) == len(REPLIES))
            collector.post("/v1/sessions/review-7/close", organisation="acme")
            review = eventually(lambda: anchored_review(collector), deadline_seconds=120)
            [key] = collector.get("/.well-known/receipt-keys", organisation="acme")["keys"]
            yield Slice(collector, node, providers, tap.spans, review, key["vkey"])


def run_application(collector_url: str, providers_url: str) -> None:
    """Run it as a service is run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    environment |= {"P402_COLLECTOR_URL": collector_url, "P402_ORGANISATION": "acme", "P402_DEPARTMENT": "legal"}
    command = [str(BIN / "opentelemetry-instrument"), sys.executable, str(APPLICATION), providers_url]
    subprocess.run(command, env=environment, check=True, timeout=90)


def anchored_review(collector: RunningCollector) -> dict[str, Any] | None:
    receipts = collector.get("/v1/receipts", organisation="acme")["receipts"]
    return next((receipt for receipt in receipts if receipt["tempo_tx_hash"]), None)


def test_each_call_is_one_client_span_with_its_usage(ran: Slice) -> None:
    assert {span.kind for span in ran.spans} == {Span.SPAN_KIND_CLIENT}
    calls = [attributes(span) for span in ran.spans]
    assert sorted(call["gen_ai.request.model"] for call in calls) == sorted(REPLIES)
    assert {span.name for span in ran.spans} >= {"chat claude-opus-4-5", "generate_content gemini-2.5-pro"}
    for call in calls:
        reply = REPLIES[call["gen_ai.request.model"]]
        assert call["gen_ai.usage.input_tokens"] == reply.input_tokens
        assert call.get("gen_ai.usage.output_tokens", 0) == reply.output_tokens
        assert call["p402.usage.source"] == "provider"


def test_each_call_costs_what_the_price_pages_say(ran: Slice) -> None:
    assert {charge["request_model"]: charge["cost_usd"] for charge in ran.charges()} == COSTS


def test_a_model_without_a_known_price_is_unpriced_and_counted(ran: Slice) -> None:
    [charge] = [charge for charge in ran.charges() if charge["request_model"] == "gpt-unheard-of"]
    assert charge["cost_usd"] is None
    assert "gpt-unheard-of" in charge["unpriced_reason"]
    [total] = ran.collector.get("/v1/spend", organisation="acme", level="organisation")["spend"]
    assert (total["charges"], total["unpriced_charges"]) == (10, 1)
    assert 'p402_charges_total{priced="no",provider="openai"} 1.0' in ran.collector.text("/metrics")


def test_the_money_is_the_same_at_every_level(ran: Slice) -> None:
    assert ran.spend("organisation") == {"acme": TOTAL_COST}
    assert ran.spend("department") == {"legal": TOTAL_COST}
    assert ran.spend("project") == {"contracts": REVIEW_COST, "intake": "0.000001", None: "0"}
    assert ran.spend("client") == {"globex": REVIEW_COST, None: "0.000001"}
    assert ran.spend("employee") == {"e-1042": REVIEW_COST, "e-7": "0.000001", None: "0"}
    assert ran.spend("session") == {"review-7": REVIEW_COST, "inbound-1": "0.000001", None: "0"}
    assert len({charge["request"] for charge in ran.charges()}) == len(REPLIES)


def test_a_call_that_nobody_attributed_is_metered_as_unattributed(ran: Slice) -> None:
    [charge] = [charge for charge in ran.charges() if charge["request_model"] == "gpt-unheard-of"]
    assert charge["unattributed"] == ["project", "client", "employee", "session"]


def test_no_provider_receives_baggage(ran: Slice) -> None:
    assert len(ran.providers.requests) == len(REPLIES)
    for request in ran.providers.requests:
        assert "baggage" not in request.headers
        assert "e-1042" not in json.dumps(dict(request.headers))


def test_the_receipt_says_what_the_brief_asks_for(ran: Slice) -> None:
    receipt = ran.review
    assert (receipt["session_id"], receipt["employee"], receipt["department"]) == ("review-7", "e-1042", "legal")
    assert (receipt["project"], receipt["client"], receipt["cost_usd"]) == ("contracts", "globex", REVIEW_COST)
    assert set(receipt["models"]) == set(list(REPLIES)[:8])
    assert receipt["tokens"] == {"input": 11_880, "output": 11_352, "total": 23_232}
    assert receipt["output_fingerprint"] == {"state": "not-captured"}
    assert receipt["human_review"] is None
    body = ran.collector.text(f"/v1/receipts/{receipt['receipt_id']}/body").encode()
    assert hashlib.sha256(b"\0" + body).hexdigest() == receipt["leaf_hash"]
    for personal in ("e-1042", "review-7"):
        assert personal.encode() not in body


def test_the_memo_on_the_chain_is_the_hash_of_the_statement(ran: Slice) -> None:
    [anchor] = json.loads(ran.bundle())["anchors"]
    memo = hashlib.sha256(anchor["statement"].encode()).hexdigest()
    [log] = ran.node.rpc("eth_getLogs", {"fromBlock": "0x0", "topics": [TRANSFER_WITH_MEMO, None, None, "0x" + memo]})
    assert log["transactionHash"] == ran.review["tempo_tx_hash"]
    assert int(log["blockNumber"], 16) == ran.review["tempo_block"]
    transaction = ran.node.rpc("eth_getTransactionByHash", log["transactionHash"])
    assert transaction["type"] == "0x76"
    assert json.loads(anchor["statement"])["checkpoint"].startswith("p402.local/org/acme\n")


def test_an_auditor_verifies_it_offline_and_on_the_chain(ran: Slice, tmp_path: Path) -> None:
    file = tmp_path / "bundle.json"
    file.write_bytes(ran.bundle())
    command = [str(BIN / "p402-verify"), str(file), "--key", ran.key]
    on_chain = subprocess.run([*command, "--rpc", ran.node.url], capture_output=True, text=True, check=False)
    assert (on_chain.returncode, on_chain.stdout.splitlines()[-1]) == (0, "verified")
    offline = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (offline.returncode, offline.stdout.splitlines()[-1]) == (3, "incomplete: anchor not checked")


def test_the_document_shows_the_anchor_and_holds_what_the_auditor_verifies(ran: Slice) -> None:
    document = httpx.get(f"{ran.collector.url}/v1/receipts/{ran.review['receipt_id']}.pdf", timeout=30)
    found = read_pdf(document.content)
    assert found.files["bundle.json"] == ran.bundle()
    assert f"Anchored in block {ran.review['tempo_block']} of chain 31337" in found.text
    assert ran.review["tempo_tx_hash"] in found.letters
    assert f"Total cost {REVIEW_COST} USD" in found.text


@pytest.mark.parametrize(
    ("where", "links"),
    [
        ("body", {"body", "inclusion"}),
        ("proof", {"checkpoint", "inclusion"}),
        ("statement", {"statement", "memo"}),
    ],
)
def test_any_changed_byte_is_noticed_and_the_broken_link_is_named(ran: Slice, where: str, links: set[str]) -> None:
    bundle = json.loads(ran.bundle())
    holder = bundle["anchors"][0] if where == "statement" else bundle["receipts"][0]
    original: str = holder[where]
    for at, character in enumerate(original):
        for changed in {chr(ord(character) ^ 1), "x" if character != "x" else "y"}:
            holder[where] = original[:at] + changed + original[at + 1 :]
            failing = ran.failing_links(json.dumps(bundle).encode())
            assert failing & links, f"byte {at} of the {where}, {character!r} -> {changed!r}: only {failing} is broken"


@pytest.mark.parametrize(
    ("was", "is_now", "link"),
    [
        (f'"cost_usd":"{REVIEW_COST}"', '"cost_usd":"0.18867115"', "body"),  # the parts do not add up to it
        ('"closed_by":"api"', '"closed_by":"idle"', "inclusion"),  # it could be so, but is not what was signed
    ],
)
def test_a_change_in_the_database_is_noticed(ran: Slice, was: str, is_now: str, link: str) -> None:
    database = sqlite3.connect(ran.collector.data_dir / "p402.sqlite3", timeout=20)
    change = "UPDATE log_entries SET body = CAST(replace(CAST(body AS TEXT), ?, ?) AS BLOB) WHERE seq = ?"
    try:
        with database:
            database.execute(change, (was, is_now, ran.review["seq"]))
        assert ran.failing_links(ran.bundle()) == {link}
    finally:
        with database:
            database.execute(change, (is_now, was, ran.review["seq"]))
        database.close()
    assert ran.failing_links(ran.bundle()) == set()


def test_p402_verify_names_the_link_that_a_wrong_amount_breaks(ran: Slice, tmp_path: Path) -> None:
    file = tmp_path / "forged.json"
    file.write_text(ran.bundle().decode().replace(REVIEW_COST, "0.18867115"))
    command = [str(BIN / "p402-verify"), str(file), "--key", ran.key, "--rpc", ran.node.url]
    forged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert forged.returncode == 1
    assert forged.stdout.splitlines()[-1].startswith("FAILED:")
    assert "body" in forged.stdout.splitlines()[-1]
