"""A small log of receipts with fixed keys, salts and times, its bundle, and a chain that has its anchor."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from p402.receipts import (
    NO_PREVIOUS,
    Anchor,
    BundledAnchor,
    BundledReceipt,
    Checkpoint,
    ClosedBy,
    Entry,
    EntryPlace,
    MemoTransfer,
    PaidElsewhere,
    SealedReceipt,
    SettlementMode,
    SettlementStatement,
    Signer,
    append_nodes,
    format_proof,
    inclusion_proof,
    make_bundle,
    root,
    seal_receipt,
    sign_checkpoint,
)
from p402.vocabulary import Attribution, Charge, Level, Money, PriceReference, Usage, UsageSource

ORIGIN = "receipts.example.com/org/acme"
NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
PAYER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
TOKEN = "0x20c0000000000000000000000000000000000001"
CHAIN_ID = 31337
WHO = Attribution("acme", "engineering", "apollo", "globex", "emp_7", "sess_42")


def fixed_signer(name: str = "sample", origin: str = ORIGIN) -> Signer:
    """A signer that is the same on every run."""
    return Signer(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()), origin)


def sample_charge(number: int = 0) -> Charge:
    """The brief's worked example: claude-opus-4-5, 2,847 tokens in, 10,000 out, $0.264235 at list price."""
    started = NINE + timedelta(minutes=number)
    return Charge(
        trace_id=f"{number + 1:032x}",
        span_id=f"{number + 1:016x}",
        request=f"req_{number}",
        attribution=WHO,
        started_at=started,
        ended_at=started + timedelta(seconds=12, milliseconds=345),
        provider="anthropic",
        operation="chat",
        request_model="claude-opus-4-5",
        response_model="claude-opus-4-5-20251101",
        response_id=f"msg_{number}",
        usage=Usage(input_tokens=2847, output_tokens=10000),
        usage_source=UsageSource.PROVIDER,
        cost=Money.parse("0.264235"),
        unpriced_reason=None,
        price=PriceReference("genai-prices/0.0.30", "ab" * 32),
        rationale="complexity=7, dept_policy=quality-first",
        task_type="code-review",
    )


def unpriced_charge(number: int = 1) -> Charge:
    """A call of a model that no price book knows, counted by us."""
    return replace(
        sample_charge(number),
        provider="openai",
        response_model=None,
        request_model="my-finetune",
        usage_source=UsageSource.ESTIMATED,
        cost=None,
        price=None,
        unpriced_reason="unknown model",
        rationale=None,
    )


@dataclass
class SampleLog:
    """A log in memory."""

    entries: list[Entry] = field(default_factory=list)
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    salts: Iterator[int] = field(default_factory=count)

    def get(self, level: int, index: int) -> bytes:
        """Read a stored node."""
        return self.nodes[level, index]

    @property
    def prev(self) -> bytes:
        """Leaf hash of the last entry."""
        return self.entries[-1].leaf_hash if self.entries else NO_PREVIOUS

    def append(self, entry: Entry) -> None:
        """Take an entry in."""
        for level, index, hashed in append_nodes(len(self.entries), entry.leaf_hash, self.get):
            self.nodes[level, index] = hashed
        self.entries.append(entry)

    def add_receipt(self, *charges: Charge) -> SealedReceipt:
        """Seal the next receipt."""
        seq = len(self.entries)
        receipt = seal_receipt(
            charges or (sample_charge(seq),),
            EntryPlace(organisation="acme", seq=seq, prev=self.prev, issued_at=NINE + timedelta(hours=1, minutes=seq)),
            receipt_id=f"rcpt_{seq:026d}",
            closed_by=ClosedBy.API,
            content_mode="metadata",
            verified_through=Level.DEPARTMENT,
            make_salt=lambda: f"salt-number-{next(self.salts):010d}",
        )
        self.append(receipt)
        return receipt

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        """The state of the log."""
        size = len(self.entries) if size is None else size
        return Checkpoint(ORIGIN, size, root(size, self.get))

    def proof(self, index: int, *signers: Signer) -> str:
        """The proof of an entry under the newest checkpoint."""
        return self.proof_under(index, sign_checkpoint(self.checkpoint(), signers or (fixed_signer(),)))

    def proof_under(self, index: int, note: str) -> str:
        """The proof of an entry under the newest checkpoint, which is signed already."""
        return format_proof(index, inclusion_proof(index, len(self.entries), self.get), note)


def sample_log(size: int = 5) -> SampleLog:
    """A log of so many receipts; the third has an unpriced call."""
    log = SampleLog()
    for number in range(size):
        log.add_receipt(sample_charge(number), *([unpriced_charge(number)] if number == 2 else []))
    return log


def sample_statement(log: SampleLog) -> SettlementStatement:
    """An anchor of the log's newest checkpoint."""
    return SettlementStatement(
        mode=SettlementMode.ANCHOR,
        settlement_id="stl_1",
        organisation="acme",
        checkpoint=str(log.checkpoint()),
        chain_id=CHAIN_ID,
        token=TOKEN,
        payer=PAYER,
        payee=PAYER,
        amount_micro_usd=0,
        period_from=NINE,
        period_to=NINE + timedelta(hours=1),
        accrued=Money.parse("1.321175"),
        carry_in=Money(0),
        carry_out=Money(0),
        prev_settlement=None,
    )


def reference_statement(log: SampleLog) -> SettlementStatement:
    """A statement of version 2: most of what is due is paid elsewhere."""
    return replace(
        sample_statement(log),
        version=2,
        mode=SettlementMode.REFERENCE,
        paid_elsewhere=(
            PaidElsewhere(kind="provider-invoice", id="INV-7", amount=Money.parse("1.5")),
            PaidElsewhere(kind="x402", id="0x" + "ab" * 32, amount=Money.parse("0.25")),
        ),
        carry_in=Money.parse("0.5"),
        carry_out=Money.parse("0.071175"),
    )


SAMPLE_ANCHOR = Anchor(
    chain_id=CHAIN_ID,
    tx_hash="0x" + "a1" * 32,
    block_number=100,
    block_hash="0x" + "b2" * 32,
    block_timestamp=1_795_431_600,
    log_index=3,
)


def sample_bundle(log: SampleLog, *indexes: int, anchored: bool = True) -> dict[str, Any]:
    """A bundle of some of the log's receipts, with all that may be disclosed."""
    receipts = [log.entries[index] for index in indexes]
    return make_bundle(
        [
            BundledReceipt(
                body=receipt.body,
                disclosures=receipt.disclosures if isinstance(receipt, SealedReceipt) else (),
                proof=log.proof(receipt.seq),
                anchor=0 if anchored else None,
            )
            for receipt in receipts
        ],
        [BundledAnchor.of(sample_statement(log), SAMPLE_ANCHOR)] if anchored else [],
    )


def chain_answers(statement: SettlementStatement, anchor: Anchor = SAMPLE_ANCHOR) -> dict[str, Any]:
    """What a node answers, by method, when the statement is anchored on its chain and final."""
    transfer = MemoTransfer(
        token=statement.token,
        payer=statement.payer,
        payee=statement.payee,
        amount_micro_usd=statement.amount_micro_usd,
        memo=statement.memo(),
    )
    block = {"number": hex(anchor.block_number), "hash": anchor.block_hash, "timestamp": hex(anchor.block_timestamp)}
    log = {
        "address": statement.token,
        "topics": list(transfer.topics),
        "data": f"0x{statement.amount_micro_usd:064x}",
        "logIndex": hex(anchor.log_index),
    }
    return {
        "eth_chainId": hex(anchor.chain_id),
        "eth_getTransactionReceipt": {
            "transactionHash": anchor.tx_hash,
            "status": "0x1",
            "blockNumber": block["number"],
            "blockHash": block["hash"],
            "logs": [log],
        },
        "eth_getBlockByNumber": block,
    }


@contextmanager
def answering_node(answers: dict[str, Any], status: int = 200) -> Iterator[str]:
    """Serve fixed answers over HTTP, as a node would; give the address. Changes to `answers` take effect at once."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = answers.get(call["method"])
            body = (
                answer
                if isinstance(answer, bytes)
                else json.dumps({"jsonrpc": "2.0", "id": 1, "result": answer}).encode()
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
