"""What deciding on a held lease takes: no I/O, everything else. Run: ``python tests/bench/lease.py``.

Prints, in microseconds for each call, the median of many rounds, of this thread's CPU time: the bare decrement of a counter under a lock (the floor),
`decide` with the shipped prices and policies of three kinds, and the whole way of a call through the gate: describing
the request, deciding, taking, and giving back with the exact cost.
"""

from __future__ import annotations

import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from p402.collector.pricing import load_price_book
from p402.decisions import FailMode, Model, Policy, Question, RateCard, Strategy, Tier, policy_to_wire
from p402.instrumentation.feedback.admission import Admission, Pending
from p402.instrumentation.feedback.client import Guard
from p402.instrumentation.feedback.fallback import Fallback
from p402.instrumentation.feedback.gate import Asked, Gate, settle
from p402.instrumentation.feedback.transport import Transport
from p402.instrumentation.providers import recognise
from p402.vocabulary import Attribution, Usage

ROUNDS, CALLS = 21, 500
AT = datetime(2026, 5, 15, 9, 0, tzinfo=UTC)
ASKED = Attribution("acme", "legal", "contracts", None, "e-117", "s-1")
USAGE = Usage(input_tokens=900, output_tokens=350)
POLICIES = {
    "no policy": Policy(name="none"),
    "tiers": Policy(name="marketing", version=3, strategy=Strategy.COST_FIRST, max_tier=Tier.STANDARD),
    "names": Policy(name="legal", version=3, denied_models=("*-preview", "gpt-3*"), allowed_providers=("openai",)),
}


def catalogue() -> list[Model]:
    """A catalogue of a usual size."""
    tiers = list(Tier)
    names = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "o3", "o4-mini", "gpt-5", "gpt-5-mini"]
    return [
        Model(
            provider="openai",
            model=name,
            tier=tiers[1],
            context_tokens=128_000,
            max_output_tokens=16_384,
        )
        for name in names
    ]


class Scripted(Transport):
    """Grants a lease that never ends, for calls without number."""

    def __init__(self, policy: Policy) -> None:
        super().__init__("http://127.0.0.1:9", None)
        self._ids = itertools.count()
        book = load_price_book()
        models = catalogue()
        cards = {model.model: book.card(model.provider, model.model, AT, None) for model in models}
        self._rules = {
            "organisation": "acme",
            "department": "legal",
            "version": 1,
            "levels": ["department", "employee", "session"],
            "policy": policy_to_wire(policy),
            "catalogue": [model.to_wire() for model in models],
            "cards": [
                {"provider": "openai", "model": name, "service_tier": None, "card": card.to_wire()}
                for name, card in cards.items()
                if isinstance(card, RateCard)
            ],
            "ceilings": {},
            "hard": False,
        }

    def post(self, path: str, body: Any) -> Any:
        """Answer what the guard asks."""
        if path != "/v1/leases":
            return {"state": "closed", "missing_calls": 0}
        model = body["question"]["model"]
        decision = {
            "verdict": "allow",
            "code": "within_budget",
            "rationale": "-",
            "model": model,
            "holds": {"cost": "1"},
        }
        lease = {
            "id": f"lease_{next(self._ids)}",
            "expires_at": "2099-01-01T00:00:00Z",
            "amounts": {"cost": "900000000"},
        }
        return {"decision": decision, "lease": lease, "rules": self._rules, "card": None}


def gate_with(policy: Policy) -> tuple[Guard, Gate]:
    """A gate with a lease in its hands."""
    guard = Guard(Scripted(policy), lambda: None, Fallback(FailMode.OPEN, "nowhere"), 5.0)
    return guard, Gate(guard)


def a_call(kilobytes: int) -> Asked:
    """A chat completion with a prompt of a size."""
    messages = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "word " * (205 * kilobytes)},
    ]
    body = {"model": "gpt-4o", "max_completion_tokens": 1_000, "messages": messages}
    route = recognise("api.openai.com", "/v1/chat/completions")
    assert route is not None
    facts = route.dialect.read_request("/v1/chat/completions", body)
    assert facts is not None
    return Asked(
        route=route,
        facts=facts,
        path="/v1/chat/completions",
        body=body,
        raw=json.dumps(body).encode(),
        said={**ASKED.to_attributes(), "p402.task_type": "qa"},
        changeable=True,
    )


def of(found: Admission | Pending) -> Admission:
    """Wait, where a lease has just ended and another is fetched."""
    return found if isinstance(found, Admission) else found.result()


def microseconds(run: Callable[[], object]) -> float:
    """The median of many rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(CALLS):
            run()
        rounds.append((time.thread_time() - started) / CALLS * 1e6)
    return statistics.median(rounds)


def floor() -> Callable[[], object]:
    """A lock and a decrement."""
    lock, left = threading.Lock(), [10**18]

    def take() -> None:
        with lock:
            left[0] -= 1

    return take


def measure() -> dict[str, float]:
    """Every figure by its name."""
    found = {"floor: lock and decrement": microseconds(floor())}
    question = Question(
        attribution=ASKED, provider="openai", model="gpt-4o", input_tokens=4_200, output_tokens=1_000, can_clamp=True
    )
    for name, policy in POLICIES.items():
        guard, gate = gate_with(policy)
        of(guard.decide(question)).finish(USAGE)

        def decide(guard: Guard = guard) -> None:
            of(guard.decide(question)).finish(USAGE)

        found[f"decide, take, give back ({name})"] = microseconds(decide)
        for kilobytes in (1, 64):
            asked = a_call(kilobytes)

            def whole(gate: Gate = gate, asked: Asked = asked) -> None:
                admission = gate.admit(asked)
                assert admission is not None
                settle(asked, of(admission), USAGE, None)

            found[f"the whole gate, {kilobytes} kB prompt ({name})"] = microseconds(whole)
        guard.shutdown()
    return found


def main() -> None:
    """Measure and print."""
    for name, figure in measure().items():
        print(f"{figure:8.2f} µs  {name}")  # noqa: T201 - its purpose


if __name__ == "__main__":
    main()
