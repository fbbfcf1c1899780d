"""An agent's trace as two real viewers show it, Jaeger 2 and Arize Phoenix: with the cost that the ledger has.

Real: the OpenAI SDK and OpenTelemetry's, the collector as a process that sends on to both, the viewers, their
APIs. Simulated: the models. Jaeger is one's own and sees everything; Phoenix is a vendor, and sees what its policy leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.demo.providers import MockProviders, Reply
from support.browser import chromium, opened, picture
from support.collector import RunningCollector, eventually, running_collector
from support.control import control_of
from support.providers import providers_thread
from support.viewers import Jaeger, Phoenix, running_jaeger, running_phoenix
from support.wiretap import attributes

# The parts are started once, for all tests of this file; the first time, the vendor's viewer is installed too.
pytestmark = pytest.mark.timeout(600)

APPLICATION = Path(__file__).parents[1] / "support" / "viewed_application.py"
SERVICE = "contract-desk"
REPLIES = {
    "gpt-4o": Reply("a" * 40, 1200, 300),
    "gpt-4o-mini": Reply("b" * 40, 333, 77),
    "gpt-4.1": Reply("c" * 40, 2000, 125),
}
CALLS = {  # step: USD and the range it is in; by hand from the price page, USD a million tokens
    "plan": ("0.006", "0.001-0.01"),  # 1,200 x 2.50 + 300 x 10
    "extract": ("0.00009615", "0-0.0001"),  # streamed: 333 x 0.15 + 77 x 0.60
    "review": ("0.005", "0.001-0.01"),  # 2,000 x 2 + 125 x 8
}
AGENT_COST = "0.01109615"


@dataclass(frozen=True)
class Viewed:
    """Everything after the agent has ended and both viewers have its trace."""

    collector: RunningCollector
    jaeger: Jaeger
    phoenix: Phoenix

    def charges(self, department: str) -> list[dict[str, Any]]:
        charges: list[dict[str, Any]] = self.collector.get("/v1/charges", organisation="acme")["charges"]
        return [charge for charge in charges if charge["department"] == department]

    def found(self, department: str, bucket: str) -> list[Span]:
        """What Jaeger's search finds of a department in a range of costs."""
        return self.jaeger.spans(SERVICE, {"p402.department": department, "p402.cost.bucket": bucket})

    def agent(self) -> dict[str, Span]:
        """The agent's trace by the names of its spans; calls by that of their step."""
        [trace_id] = self.jaeger.find(SERVICE, {"gen_ai.operation.name": "invoke_agent"})
        spans = self.jaeger.trace(trace_id)
        named: dict[str, Span] = {}
        for span in sorted(spans.values(), key=lambda span: span.start_time_unix_nano):
            is_call = "p402.request" in attributes(span)
            named[f"call of {spans[span.parent_span_id].name}" if is_call else span.name] = span
        return named


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewed]:
    folder = tmp_path_factory.mktemp("viewed")
    providers = MockProviders(lambda call: REPLIES.get(call.model) or Reply("d" * 40, 100, 10))
    with (
        running_phoenix(folder / "phoenix") as phoenix,
        running_jaeger(folder / "jaeger") as jaeger,
        providers_thread(providers) as providers_url,
    ):
        config = folder / "p402.toml"
        config.write_text(
            f'[[forward]]\nname = "jaeger"\nurl = "{jaeger.otlp}"\npersonal = true\n'
            f'[[forward]]\nname = "vendor"\nurl = "{phoenix.url}"\ndrop = ["p402.client", "process.*"]\n'
        )
        with running_collector(folder / "collector", {"P402_CONFIG": str(config)}) as collector:
            control = control_of(collector)
            control.put_policy("marketing", {"strategy": "cost-first", "max_tier": "economy"})
            control.put_budget(
                "frozen", {"level": "department", "node": "frozen", "period": "month", "cap": "0.000001"}
            )
            providers.fail_next(503)
            run_agent(collector.url, providers_url)
            eventually(lambda: len(collector.get("/v1/charges", organisation="acme")["charges"]) == 4)
            eventually(lambda: len(jaeger.find(SERVICE)) == 3, 60)
            eventually(lambda: len(phoenix.spans({"gen_ai.operation.name": "invoke_agent"})) == 1, 60)
            eventually(lambda: phoenix.spans({"p402.cost.bucket": "refused"}), 60)
            yield Viewed(collector, jaeger, phoenix)


def run_agent(collector_url: str, providers_url: str) -> None:
    """Run it as a service whose own exporter sends everything to the collector."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    environment |= {
        "P402_COLLECTOR_URL": collector_url,
        "P402_ORGANISATION": "acme",
        "P402_DEPARTMENT": "legal",
        "P402_DECISION_TIMEOUT_MS": "20000",
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_TRACES_EXPORTER": "otlp_proto_http",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    subprocess.run([sys.executable, str(APPLICATION), providers_url], env=environment, check=True, timeout=120)


@pytest.mark.parametrize("step", CALLS)
def test_a_call_is_found_by_department_and_by_range_with_the_cost_of_the_ledger(viewed: Viewed, step: str) -> None:
    cost, bucket = CALLS[step]
    call = viewed.agent()[f"call of {step if step != 'review' else 'chat gpt-4.1'}"]
    assert call.span_id in {span.span_id for span in viewed.found("legal", bucket)}
    [charge] = [charge for charge in viewed.charges("legal") if charge["span_id"] == call.span_id.hex()]
    assert charge["cost_usd"] == cost
    assert attributes(call)["p402.cost.total_usd"] == float(cost)
    theirs = viewed.phoenix.spans({"p402.department": "legal", "p402.cost.bucket": bucket})
    [seen] = [span for span in theirs if span["context"]["span_id"] == call.span_id.hex()]
    assert seen["attributes"]["p402.cost.total_usd"] == float(cost)
    assert seen["parent_id"] == call.parent_span_id.hex()


def test_a_streamed_call_says_so(viewed: Viewed) -> None:
    assert attributes(viewed.agent()["call of extract"])["gen_ai.request.stream"] is True


def test_a_downgraded_call_is_found_and_linked_to_what_was_asked_for(viewed: Viewed) -> None:
    [charge] = viewed.charges("marketing")
    [call] = [span for span in viewed.jaeger.spans(SERVICE, {"p402.department": "marketing"}) if span.links]
    said = attributes(call)
    assert (call.span_id.hex(), said["p402.cost.total_usd"]) == (charge["span_id"], float(charge["cost_usd"]))
    assert call.span_id in {span.span_id for span in viewed.found("marketing", said["p402.cost.bucket"])}
    assert said["gen_ai.request.model"] == charge["request_model"] != "gpt-4o"
    [link] = call.links
    assert attributes_of_link(link) == {"p402.link": "downgraded_from"}
    wish = viewed.jaeger.trace(charge["trace_id"])[link.span_id]
    assert (wish.name, wish.parent_span_id) == ("asked for chat gpt-4o", call.span_id)
    [seen] = viewed.phoenix.spans({"p402.department": "marketing", "p402.decision.original_model": "gpt-4o"})[:1]
    assert seen["attributes"]["p402.department"] == "marketing"


def test_a_blocked_call_is_found_and_costs_nothing(viewed: Viewed) -> None:
    [call] = viewed.found("frozen", "refused")
    said = attributes(call)
    assert (said["p402.decision.verdict"], said["p402.decision.code"]) == ("block", "budget_exhausted")
    assert not [name for name in said if name.endswith("_usd")]
    assert viewed.charges("frozen") == []
    [seen] = viewed.phoenix.spans({"p402.department": "frozen", "p402.cost.bucket": "refused"})
    assert seen["context"]["span_id"] == call.span_id.hex()


def test_an_agents_trace_is_whole_and_shows_cost_per_step_and_in_total(viewed: Viewed) -> None:
    agent = viewed.agent()
    steps = {"plan", "extract", "review", "execute_tool search_clauses", "invoke_agent reviewer", "chat gpt-4.1"}
    assert steps <= set(agent)
    below = {name: attributes(span).get("p402.cost.below_usd") for name, span in agent.items() if name in steps}
    assert below == {
        **{step: float(cost) for step, (cost, _) in CALLS.items()},
        "chat gpt-4.1": 0.005,
        "execute_tool search_clauses": None,
        "invoke_agent reviewer": float(AGENT_COST),
    }
    root = agent["invoke_agent reviewer"]
    assert not root.parent_span_id
    assert attributes(root)["p402.cost.trace_total_usd"] == float(AGENT_COST)
    assert sum(Decimal(charge["cost_usd"]) for charge in viewed.charges("legal")) == Decimal(AGENT_COST)
    [seen] = viewed.phoenix.spans({"gen_ai.operation.name": "invoke_agent"})
    assert seen["attributes"]["p402.cost.trace_total_usd"] == float(AGENT_COST)


def test_a_retry_and_a_duplicate_are_linked(viewed: Viewed) -> None:
    agent = viewed.agent()
    [retry] = agent["call of plan"].links
    [failed] = [span for span in agent_spans(viewed) if span.span_id == retry.span_id]
    assert attributes_of_link(retry) == {"p402.link": "retry_of"}
    assert attributes(failed)["error.type"] == "503"
    assert attributes(failed)["p402.request"] == attributes(agent["call of plan"])["p402.request"]
    [duplicate] = agent["chat gpt-4.1"].links
    assert attributes_of_link(duplicate) == {"p402.link": "duplicate_of"}
    assert duplicate.span_id == agent["call of chat gpt-4.1"].span_id


def test_what_a_department_spent_is_the_sum_of_its_spans(viewed: Viewed) -> None:
    """What TraceQL's `sum_over_time` sums; no viewer here speaks it, so the sum is made of what searches find."""
    rows = viewed.collector.get("/v1/spend", organisation="acme", level="department")["spend"]
    spent = {row["department"]: float(row["cost_usd"]) for row in rows if row["charges"]}
    assert set(spent) == {"legal", "marketing"}
    for department, cost in spent.items():
        ours = viewed.jaeger.spans(SERVICE, {"p402.department": department})
        assert sum(attributes(span).get("p402.cost.total_usd", 0) for span in ours) == pytest.approx(cost, rel=1e-12)
        theirs = [span["attributes"] for span in viewed.phoenix.spans({"p402.department": department})]
        assert sum(span.get("p402.cost.total_usd", 0) for span in theirs) == pytest.approx(cost, rel=1e-12)


def test_calls_are_found_by_a_cost_that_is_a_number(viewed: Viewed) -> None:
    cost = "attributes['p402']['cost']['total_usd']"
    assert viewed.phoenix.count(f"{cost} > 0.001") == 2
    assert viewed.phoenix.count(f"{cost} >= 0.006 and attributes['p402']['department'] == 'legal'") == 1


def test_a_span_leads_to_its_session_and_its_receipts(viewed: Viewed) -> None:
    session = attributes(viewed.agent()["call of plan"])["p402.session"]
    viewed.collector.post(f"/v1/sessions/{session}/close", organisation="acme")
    found = eventually(
        lambda: viewed.collector.get(f"/v1/sessions/{session}", organisation="acme")["sessions"][0]["receipts"],
        deadline_seconds=60,
    )
    assert found[0].startswith("rcpt_")


def test_the_vendor_sees_what_its_policy_leaves(viewed: Viewed) -> None:
    seen = [span["attributes"] for span in viewed.phoenix.spans()]
    names = {name for span in seen for name in span}
    assert {"p402.department", "p402.project", "p402.cost.total_usd"} <= names
    assert {"p402.employee", "p402.client"} & names == set()
    ours = {name for span in agent_spans(viewed) for name in attributes(span)}
    assert {"p402.employee", "p402.client"} <= ours


def test_the_trace_is_looked_at_in_the_vendors_page(viewed: Viewed) -> None:
    trace_id = viewed.agent()["call of plan"].trace_id.hex()
    [call] = viewed.phoenix.spans({"p402.department": "legal", "http.request.resend_count": 1})
    where = f"/projects/{viewed.phoenix.project()}/traces/{trace_id}?selectedSpanNodeId={call['id']}"
    with chromium() as browser, opened(browser, viewed.phoenix.url + where, "desktop") as page:
        page.get_by_text("invoke_agent reviewer").first.wait_for()
        page.get_by_role("tab", name="Attributes").click()
        row = page.get_by_role("row").filter(has=page.get_by_text("p402.cost.total_usd"))
        row.evaluate("row => row.scrollIntoView({block: 'center'})")
        assert row.inner_text().split() == ["p402.cost.total_usd", "0.006"]
        picture(page, "viewer-phoenix")


def agent_spans(viewed: Viewed) -> list[Span]:
    return list(viewed.jaeger.trace(viewed.agent()["plan"].trace_id.hex()).values())


def attributes_of_link(link: Span.Link) -> Mapping[str, str]:
    return {pair.key: pair.value.string_value for pair in link.attributes}
