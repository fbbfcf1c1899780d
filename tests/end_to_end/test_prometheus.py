"""A real Prometheus watches a real collector: what it says was spent is what the ledger says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from p402.collector.cli import main
from p402.exporters.grafana import DASHBOARDS
from support.collector import RunningCollector, eventually, running_collector
from support.dashboards import expressions
from support.otlp import ASpan, request_of
from support.prometheus import Prometheus, promtool, running_prometheus

pytestmark = pytest.mark.timeout(300)

TRACE = bytes(range(16))
_PATIENCE = 120  # seconds


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    settings = {"P402_DEFAULT_ORGANISATION": "acme", "P402_RATE_LIMIT_PER_MINUTE": "0"}
    with running_collector(tmp_path_factory.mktemp("collector"), settings) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(collector: RunningCollector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    target = collector.url.removeprefix("http://")
    with running_prometheus(tmp_path_factory.mktemp("prometheus") / "here", [target]) as running:
        eventually(lambda: running.values("p402_storage_up"), _PATIENCE)
        yield running


@pytest.fixture(scope="module", autouse=True)
def _spent(collector: RunningCollector, prometheus: Prometheus) -> None:
    """Calls of three departments, one of them streamed; of each sort there is one before, so that there is an increase to see."""
    now = int(datetime.now(UTC).timestamp()) * 10**9
    first = [ASpan.of(started_ns=now), ASpan.of({"gen_ai.response.model": "nobody-knows-it"}, started_ns=now)]
    assert collector.export(request_of(first)).status_code == 200
    eventually(lambda: len(prometheus.values("p402_charges_total")) == len(first), _PATIENCE)
    spans = [
        *(ASpan.of({"p402.employee": f"e-{number}"}, started_ns=now) for number in range(39)),
        *(ASpan.of({"p402.department": "sales", "gen_ai.usage.output_tokens": 7}, started_ns=now) for _ in range(9)),
        ASpan.of({"p402.department": None, "gen_ai.response.time_to_first_chunk": 0.3}, started_ns=now, trace_id=TRACE),
    ]
    assert collector.export(request_of(spans)).status_code == 200
    eventually(lambda: prometheus.values(f"sum(p402_charges_total) == {len(first) + len(spans)}"), _PATIENCE)


def test_prometheus_says_what_the_ledger_says(collector: RunningCollector, prometheus: Prometheus) -> None:
    answer = collector.get("/v1/spend", level="department")
    spent = {row["department"] or "unattributed": float(row["cost_usd"]) for row in answer["spend"]}
    assert set(spent) == {"legal", "sales", "unattributed"}
    query = "sum by (department) (p402_cost_usd_total)"

    def seen() -> dict[str, float]:
        return {dict(labels)["department"]: value for labels, value in prometheus.values(query).items()}

    eventually(lambda: set(seen()) == set(spent), _PATIENCE)
    assert seen() == pytest.approx(spent, rel=1e-9)
    assert spent["legal"] == pytest.approx(40 * 0.264235)
    tokens = prometheus.values("sum by (direction) (p402_tokens_total)")
    assert tokens[("direction", "input"),] == 51 * 2847
    assert prometheus.values("sum(p402_model_cost_usd_total)")[()] == pytest.approx(sum(spent.values()))


def test_a_cost_leads_to_a_trace(prometheus: Prometheus) -> None:
    def exemplars(query: str) -> list[dict[str, str]]:
        found = prometheus.ask("/api/v1/query_exemplars", query=query, start=_minutes(-5), end=_minutes(5))
        return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]

    first = 'gen_ai_client_operation_time_to_first_chunk_seconds_bucket{gen_ai_response_model="claude-opus-4-5"}'
    assert eventually(lambda: exemplars(first), _PATIENCE) == [{"trace_id": TRACE.hex()}]
    unattributed = 'p402_cost_usd_total{department="unattributed"}'
    assert eventually(lambda: exemplars(unattributed), _PATIENCE) == [{"trace_id": TRACE.hex()}]


def test_people_add_no_series(collector: RunningCollector, prometheus: Prometheus) -> None:
    count = 'count({job="p402",__name__!~"scrape.*|up"})'
    settled = prometheus.values(count)
    assert settled[()] < 300
    for start in range(0, 10_000, 1000):
        spans = [ASpan.of({"p402.employee": f"n-{start + i}", "p402.session": f"m-{start + i}"}) for i in range(1000)]
        assert collector.export(request_of(spans)).status_code == 200
    charged = "sum(p402_charges_total) > 10000"
    eventually(lambda: prometheus.values(charged), _PATIENCE)
    assert prometheus.values(count) == settled
    assert prometheus.ask("/api/v1/label/employee/values") == []


def test_prometheus_has_loaded_every_rule_and_none_is_faulty(prometheus: Prometheus) -> None:
    groups = prometheus.ask("/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == 26
    eventually(lambda: all(rule["health"] == "ok" for rule in _rules(prometheus)), _PATIENCE)
    share = eventually(lambda: prometheus.values("p402:charges_unpriced:ratio1h"), _PATIENCE)
    assert 0 <= share[("__name__", "p402:charges_unpriced:ratio1h"),] < 1


def test_the_command_writes_rules_that_link_to_the_runbook(tmp_path: Path) -> None:
    assert main(["rules", "--out", str(tmp_path / "rules"), "--runbook", "https://wiki.example.com/p402"]) == 0
    written = sorted((tmp_path / "rules").iterdir())
    assert [file.name for file in written] == ["p402-alerts.yaml", "p402-recording.yaml"]
    assert promtool("check", "rules", *written).count("SUCCESS") == 2
    assert "runbook_url: https://wiki.example.com/p402#p402storageunavailable" in written[0].read_text()


def _rules(prometheus: Prometheus) -> list[dict[str, str]]:
    return [rule for group in prometheus.ask("/api/v1/rules")["groups"] for rule in group["rules"]]


def _minutes(offset: int) -> float:
    return datetime.now(UTC).timestamp() + offset * 60


@pytest.mark.parametrize("level", ["organisation", "department", "project", "client"])
def test_every_query_of_the_dashboard_is_answered(prometheus: Prometheus, level: str) -> None:
    [dashboard] = [file for file in DASHBOARDS if "spend" in file.name]
    asked = [
        expression.replace("$__rate_interval", "5m").replace("$__range", "10m").replace("$level", level)
        for expression in expressions(dashboard)
    ]
    assert "$" not in "".join(asked)
    # There are no budgets here, nothing is forwarded, nobody asked whether a call may be made, and no alert fires.
    without = ("p402_budget", "p402_decisions", "p402_forward", "ALERTS")
    answered = [query for query in asked if not any(name in query for name in without)]
    eventually(lambda: all(prometheus.ask("/api/v1/query", query=query)["result"] for query in answered), _PATIENCE)
    for query in asked:
        prometheus.ask("/api/v1/query_range", query=query, start=_minutes(-5), end=_minutes(0), step=15)
