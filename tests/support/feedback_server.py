"""A collector's feedback API with one cap, kept in memory: strict about what it gets, and broken or slow as a test says.

It decides by the shipped rules, takes spans as charges, releases nothing before they have come, and fails a test that
makes *spent + held* pass the cap.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from p402.collector.api.feedback_schema import AskBody, LeaseSettlement
from p402.collector.budgets.grant import lease_amounts
from p402.collector.pricing import load_price_book
from p402.decisions import (
    Ability,
    Catalogue,
    Funds,
    Measure,
    Model,
    Policy,
    Question,
    RateCard,
    Rules,
    Tier,
    Verdict,
    decide,
    policy_to_wire,
)
from p402.vocabulary import Attribution, Money, Usage, attributes, rfc3339
from support.wiretap import attributes as attributes_of

AT = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)
_ABLE = frozenset({Ability.TOOLS, Ability.JSON, Ability.VISION, Ability.REASONING, Ability.CACHING})

_USAGE = {
    "input_tokens": attributes.GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": attributes.GEN_AI_USAGE_OUTPUT_TOKENS,
    "cache_read_input_tokens": attributes.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_write_input_tokens": attributes.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
    "cache_write_1h_input_tokens": attributes.P402_USAGE_CACHE_WRITE_1H_INPUT_TOKENS,
    "reasoning_output_tokens": attributes.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
}


def _model(provider: str, name: str, tier: Tier, least: int = 16) -> Model:
    return Model(
        provider=provider,
        model=name,
        tier=tier,
        context_tokens=128_000,
        max_output_tokens=16_000,
        abilities=_ABLE,
        least_output_tokens=least,
    )


MODELS = [
    _model("openai", "gpt-4o", Tier.STANDARD),
    _model("openai", "gpt-4o-mini", Tier.ECONOMY),
    _model("anthropic", "claude-opus-4-5", Tier.PREMIUM),
    _model("anthropic", "claude-haiku-4-5", Tier.ECONOMY),
    _model("gcp.gemini", "gemini-2.5-pro", Tier.STANDARD),
    _model("gcp.gemini", "gemini-2.5-flash", Tier.ECONOMY),
]


@dataclass
class HeldLease:
    """What a lease still holds."""

    remaining: dict[Measure, int]
    granted: Mapping[Measure, int]
    calls: int = 0


@dataclass
class Feedback:
    """What a test sees of it, and sets."""

    cap: int | None = None
    """In nano-USD; None: no budget limits anything."""
    policy: Policy = field(default_factory=lambda: Policy(name="none"))
    policies: dict[str, Policy] = field(default_factory=dict)
    """Of departments that have one of their own."""
    directory: dict[str, str] = field(default_factory=dict)
    """Departments by employee."""
    ceilings: dict[Measure, int] = field(default_factory=dict)
    hard: bool = False
    levels: tuple[str, ...] = ("department",)
    version: int = 1
    status: int = 200
    """What the feedback API answers; anything but 200 without looking."""
    spans_come: bool = True
    """Whether what is exported is charged."""
    lease_seconds: float = 30.0
    url: str = ""
    spent: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    settled: list[tuple[str, int, dict[Measure, int]]] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    leases: dict[str, HeldLease] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)
    """Clear it, and questions are not answered until it is set again."""
    streams: list[SimpleQueue[str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answering.set()
        self.lock = threading.Lock()
        self._book = load_price_book()

    @property
    def held(self) -> int:
        return sum(lease.remaining.get(Measure.COST, 0) for lease in self.leases.values())

    @property
    def open(self) -> int:
        """How many leases hold something."""
        return sum(any(lease.remaining.values()) for lease in self.leases.values())

    def tell(self, event: str, **data: Any) -> None:
        """Send an event to everybody who listens."""
        for stream in self.streams:
            stream.put(f"event: {event}\ndata: {json.dumps(data)}\n\n")

    def change(self, **values: Any) -> None:
        """Change rules, and say so."""
        with self.lock:
            for name, value in values.items():
                setattr(self, name, value)
            self.version += 1
        self.tell("rules", version=self.version)

    def card(self, provider: str, model: str, tier: str | None) -> RateCard | None:
        card = self._book.card(provider, model, AT, tier)
        return card if isinstance(card, RateCard) else None

    def lease(self, body: Any) -> dict[str, Any]:
        """Answer ``POST /v1/leases``."""
        self.asked.append(body)
        ask = AskBody.model_validate(body)
        question = ask.question.question(Attribution(), "acme")
        left = {} if self.cap is None else {Measure.COST: self.cap - self.spent - self.held}
        funds = Funds(
            left=left,
            coming={} if self.cap is None else {Measure.COST: self.cap - self.spent},
            ceiling=self.ceilings,
            budget={Measure.COST: "legal"},
            hard=self.hard,
        )
        policy = self._policy(self._department(question))
        decision = decide(question, Rules(policy, Catalogue(MODELS), self.card), funds, AT)
        lease = None
        if decision.goes_ahead and left:
            id_, amounts = f"lease_{len(self.leases)}", lease_amounts(decision.holds, left)
            self.leases[id_] = HeldLease(dict(amounts), amounts)
            expires_at = AT + timedelta(seconds=min(self.lease_seconds, ask.expires_in_seconds or 30))
            lease = {"id": id_, "expires_at": rfc3339(expires_at), "amounts": _shown(amounts)}
        elif decision.verdict is Verdict.WAIT:
            self.tell("recall")
        told = {
            "id": "dec_1",
            "verdict": decision.verdict,
            "code": decision.code,
            "rationale": decision.rationale,
            "model": decision.model,
            "output_tokens": decision.output_tokens,
            "would": decision.would,
            "holds": _shown(decision.holds),
            "decided_at": rfc3339(AT),
            **({"retry_after_seconds": 0.25} if decision.verdict is Verdict.WAIT else {}),
        }
        stale = ask.rules_version != self.version
        return {
            "decision": told,
            "lease": lease,
            "rules": self._rules(question) if stale else None,
            "card": self._card(question.provider, question.model, question.service_tier),
        }

    def settle(self, lease_id: str, body: Any) -> dict[str, Any] | None:
        """Answer ``POST /v1/leases/{id}/settle``; None if there is no such lease."""
        told = LeaseSettlement.model_validate(body)
        keep = {Measure.COST: Money.parse(told.keep[Measure.COST]).nano_usd} if told.keep else {}
        self.settled.append((lease_id, told.calls, keep))
        lease = self.leases.get(lease_id)
        if lease is None:
            return None
        missing = max(0, told.calls - lease.calls)
        if not missing:
            for measure, amount in lease.remaining.items():
                lease.remaining[measure] = min(amount, keep.get(measure, 0))
        return {"state": "open" if keep or missing else "closed", "missing_calls": missing}

    def charge(self, span: dict[str, Any]) -> None:
        """Take a span as a charge."""
        self.spans.append(span)
        if "gen_ai.usage.output_tokens" not in span or not self.spans_come:
            return
        card = self.card(span["gen_ai.provider.name"], span["gen_ai.request.model"], None)
        usage = Usage(**{name: span[attribute] for name, attribute in _USAGE.items() if attribute in span})
        cost = card.cost(usage).nano_usd if card else 0
        self.spent += cost
        lease = self.leases.get(span.get("p402.lease", ""))
        if lease is not None:
            lease.calls += 1
            if cost > lease.remaining.get(Measure.COST, 0):
                self.problems.append(f"a call under {span['p402.lease']} cost more than it still held")
            lease.remaining[Measure.COST] = max(0, lease.remaining.get(Measure.COST, 0) - cost)

    def look(self) -> None:
        """Note it when more is held than there is."""
        if self.cap is not None and self.held and self.spent + self.held > self.cap:
            self.problems.append(f"spent {self.spent} and held {self.held} pass the cap {self.cap}")

    def _department(self, question: Question) -> str | None:
        return question.attribution.department or self.directory.get(question.attribution.employee or "")

    def _policy(self, department: str | None) -> Policy:
        return self.policies.get(department or "", self.policy)

    def _rules(self, question: Question) -> dict[str, Any]:
        department = self._department(question)
        by_employee = bool(self.directory) and question.attribution.department is None
        tier = question.service_tier
        cards = [self._card(model.provider, model.model, tier) for model in MODELS]
        return {
            "organisation": question.attribution.organisation,
            "department": department,
            "by_employee": by_employee,
            "version": self.version,
            "levels": [*self.levels, *(("employee",) if by_employee else ())],
            "policy": policy_to_wire(self._policy(department)),
            "catalogue": [model.to_wire() for model in MODELS],
            "cards": [card for card in cards if card],
            "ceilings": _shown(self.ceilings),
            "hard": self.hard,
        }

    def _card(self, provider: str, model: str, tier: str | None) -> dict[str, Any] | None:
        card = self.card(provider, model, tier)
        return (
            None
            if card is None
            else {"provider": provider, "model": model, "service_tier": tier, "card": card.to_wire()}
        )


def _shown(amounts: Mapping[Measure, int]) -> dict[str, str]:
    return {
        measure: str(Money(amount)) if measure is Measure.COST else str(amount) for measure, amount in amounts.items()
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    feedback: Feedback

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self._spans(body)
        elif not self.feedback.answering.wait(20) or self.feedback.status != 200:
            self._answer(self.feedback.status, {"title": "As told"})
        else:
            self._ask(json.loads(body))

    def _spans(self, body: bytes) -> None:
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        resources = ExportTraceServiceRequest.FromString(body).resource_spans
        with self.feedback.lock:
            for span in (span for resource in resources for scope in resource.scope_spans for span in scope.spans):
                self.feedback.charge(attributes_of(span))
            self.feedback.look()
        self._answer(200, None)

    def _ask(self, body: Any) -> None:
        answer: dict[str, Any] | None
        with self.feedback.lock:
            try:
                if self.path == "/v1/leases":
                    answer = self.feedback.lease(body)
                else:
                    answer = self.feedback.settle(self.path.split("/")[3], body)
                self.feedback.look()
            except Exception as error:
                self.feedback.problems.append(repr(error))
                raise
        self._answer(200 if answer else 404, answer or {"title": "Not found"})

    def do_GET(self) -> None:
        if self.feedback.status != 200:
            self._answer(self.feedback.status, {"title": "As told"})
            return
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        events: SimpleQueue[str | None] = SimpleQueue()
        events.put(f'event: rules\ndata: {{"version": {self.feedback.version}}}\n\n')
        self.feedback.streams.append(events)
        while (event := events.get()) is not None:
            try:
                self.wfile.write(event.encode())
            except OSError:
                return

    def _answer(self, status: int, document: Any) -> None:
        data = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have gone."""


@contextmanager
def feedback_server(**values: Any) -> Iterator[Feedback]:
    """Serve until the block ends; what was wrong with what came fails the test."""
    feedback = Feedback(**values)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"feedback": feedback}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    feedback.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield feedback
        assert not feedback.problems, feedback.problems
    finally:
        feedback.answering.set()
        for stream in feedback.streams:
            stream.put(None)
        server.shutdown()
        server.server_close()
        thread.join()
