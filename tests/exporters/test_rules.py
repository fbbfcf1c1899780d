"""Every rule is valid, fires when it should and not otherwise, and has a section in the runbook; promtool says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from p402.exporters.prometheus import METRICS
from p402.exporters.prometheus.rules import RULES
from support.prometheus import promtool

RUNBOOK = (Path(__file__).parents[2] / "collector/src/p402/collector/dashboard/RUNBOOK.md").read_text()
GROUPS: list[dict[str, Any]] = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
RECORDED: dict[str, str] = {
    rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule
}


@dataclass(frozen=True)
class Fires:
    """What makes an alert fire after some minutes, and what does not; series in promtool's notation, a value a minute."""

    series: Mapping[str, str]
    quiet: Mapping[str, str]
    minutes: int
    says: str
    labels: Mapping[str, str] = field(default_factory=dict)


def counter(
    name: str, firing: str, quiet: str, minutes: int, says: str, labels: Mapping[str, str] | None = None
) -> Fires:
    """An alert about one series."""
    return Fires({name: firing}, {name: quiet}, minutes, says, labels or {})


HERE = 'instance="one"'
ONE = {"instance": "one"}
LEGAL = {"organisation": "acme", "budget": "legal"}
SPENT = 'p402_budget_spent_ratio{organisation="acme",budget="legal",instance="%s"}'
ELAPSED = 'p402_budget_elapsed_ratio{organisation="acme",budget="legal",instance="%s"}'

CASES = {
    "P402CollectorAway": Fires(
        {},
        {"p402_storage_up": "1x30"},
        6,
        "Prometheus has had no metrics of any collector for five minutes. Services go on by their fail mode, and what they "
        "report waits in them.",
    ),
    "P402StorageUnavailable": counter(
        f"p402_storage_up{{{HERE}}}",
        "1 1 0 0 0 0",
        "1 0 1 0 1 1",
        5,
        "one cannot record anything: senders get 503 and try again, and no money can be held for new calls.",
        ONE,
    ),
    "P402SpansTurnedAway": counter(
        f'p402_otlp_requests_total{{{HERE},signal="traces",status="503"}}',
        "0+60x20",
        "7x20",
        15,
        "one turns 1 requests a second away. Senders keep them for a while, then give them up.",
        ONE,
    ),
    "P402SpansRejected": counter(
        f'p402_spans_total{{{HERE},outcome="rejected"}}',
        "0+1x30",
        "4x30",
        20,
        "one rejected 15 spans in a quarter of an hour: a sender is broken.",
        ONE,
    ),
    "P402FollowerBehind": counter(
        'p402_follower_lag_charges{follower="sessions"}',
        "20000x20",
        "20000 20000 10x20",
        15,
        "The follower sessions is 20k charges behind: receipts or anomalies come late.",
        {"follower": "sessions"},
    ),
    "P402EventsNotDelivered": counter(
        f'p402_event_deliveries_total{{{HERE},outcome="failed"}}',
        "0+1x90",
        "3x90",
        90,
        "60 deliveries of events failed for good in an hour: somebody was not told of something.",
        ONE,
    ),
    "P402BudgetNearCap": Fires(
        {SPENT % "one": "0.5 0.7 0.92", SPENT % "two": "0.5 0.7 0.92"},
        {SPENT % "one": "0.5 0.7 0.89"},
        2,
        "Of the budget legal of acme, 92% of a cap are spent; calls are refused beyond it.",
        LEGAL,
    ),
    "P402BudgetBurnsFast": Fires(
        {SPENT % "one": "0.5x30", ELAPSED % "one": "0.25x30"},
        {
            SPENT % "one": "0.5x30",
            ELAPSED % "one": "0x30",
            "p402_budget_spent_ratio": "0.2x30",
            "p402_budget_elapsed_ratio": "0.1x30",
        },
        20,
        "The budget legal of acme is spent 2 times as fast as it would last.",
        LEGAL,
    ),
    "P402SpentBeyondCap": counter(
        'p402_overruns_total{reason="no_hold"}',
        "0+1x30",
        "5x30",
        20,
        "15 charges in a quarter of an hour were beyond a cap, for the reason no_hold.",
        {"reason": "no_hold"},
    ),
    "P402LeasesUnreconciled": counter(
        "p402_unreconciled_usd", "150x60", "99x60", 40, "Leases that ended unsettled hold up to 150 USD of budgets."
    ),
    "P402UnpricedShare": Fires(
        {'p402_charges_total{priced="no"}': "0+10x90", 'p402_charges_total{priced="yes"}': "0+90x90"},
        {'p402_charges_total{priced="no"}': "0+4x90", 'p402_charges_total{priced="yes"}': "0+96x90"},
        90,
        "10% of the calls of the last hour have no price: spend is higher than it looks.",
    ),
    "P402CallsWithoutUsage": Fires(
        {'p402_spans_total{outcome="no_usage"}': "0+25x90", 'p402_spans_total{outcome="charged"}': "0+75x90"},
        {'p402_spans_total{outcome="no_usage"}': "0+5x90", 'p402_spans_total{outcome="charged"}': "0+95x90"},
        90,
        "25% of the calls of the last hour say nothing of their tokens: they are not charged.",
    ),
    "P402SpansQuarantined": counter(
        'p402_spans_total{outcome="quarantined"}',
        "0+1x90",
        "2x90",
        90,
        "60 spans in an hour claim another usage for a call that is charged already.",
    ),
    "P402ForwardingBehind": counter(
        'p402_forward_lag_seconds{backend="default"}',
        "600x20",
        "600 600 2x20",
        10,
        "The oldest span that waits for default is 10m 0s old.",
        {"backend": "default"},
    ),
    "P402SpansLost": counter(
        'p402_forwarded_spans_total{backend="default",outcome="lost"}',
        "0+2x30",
        "7x30",
        20,
        "30 spans for default were lost in a quarter of an hour. The ledger has all of them.",
        {"backend": "default", "outcome": "lost"},
    ),
    "P402SettlementFailing": counter(
        'p402_settlements_total{state="failed"}',
        "0+1x90",
        "1x90",
        90,
        "60 settlements failed in an hour; each says why, and what to do.",
    ),
    "P402SettlementInDoubt": counter(
        "p402_settlements_in_doubt",
        "0 1",
        "0 0",
        1,
        "1 settlements are in doubt; their organisations are paid no more until somebody says what became of them.",
    ),
    "P402ChainDiffers": counter(
        'p402_settlement_discrepancies_total{kind="unknown_memo"}',
        "0+1x90",
        "1x90",
        90,
        "60 differences of the kind unknown_memo were found in an hour.",
        {"kind": "unknown_memo"},
    ),
    "P402ReceiptsNotAnchored": counter(
        "p402_receipts_unanchored_seconds",
        "10800x30",
        "600x30",
        20,
        "The oldest receipt that is not anchored is 3h 0m 0s old.",
    ),
}

BUCKETS = 'gen_ai_client_operation_%s_seconds_bucket{gen_ai_response_model="gpt-5",le="%s"}'
SUMS: dict[str, tuple[dict[str, str], str, float]] = {
    "department:p402_cost_usd:rate5m": (
        {
            'p402_cost_usd_total{department="legal",provider="a"}': "0+60x90",
            'p402_cost_usd_total{department="legal",provider="b"}': "0+120x90",
        },
        '{department="legal"}',
        3,
    ),
    "provider_model:p402_cost_usd:rate5m": (
        {'p402_model_cost_usd_total{provider="a",model="m",instance="one"}': "0+60x90"},
        '{provider="a",model="m"}',
        1,
    ),
    "task_type:p402_cost_usd_per_charge:ratio1h": (
        {
            'p402_task_cost_usd_total{task_type="review"}': "0+6x90",
            'p402_task_charges_total{task_type="review"}': "0+24x90",
        },
        '{task_type="review"}',
        0.25,
    ),
    "p402:charges_unpriced:ratio1h": (
        {'p402_charges_total{priced="no"}': "0+1x90", 'p402_charges_total{priced="yes"}': "0+3x90"},
        "",
        0.25,
    ),
    "verdict:p402_decisions:rate5m": (
        {'p402_decisions_total{verdict="block",code="budget_exhausted"}': "0+60x90"},
        '{verdict="block"}',
        1,
    ),
    "model:gen_ai_client_operation_duration_seconds:p95_5m": (
        {
            BUCKETS % ("duration", "1"): "0+0x90",
            BUCKETS % ("duration", "2"): "0+60x90",
            BUCKETS % ("duration", "+Inf"): "0+60x90",
        },
        '{gen_ai_response_model="gpt-5"}',
        1.95,
    ),
    "model:gen_ai_client_operation_time_to_first_chunk_seconds:p95_5m": (
        {
            BUCKETS % ("time_to_first_chunk", "1"): "0+60x90",
            BUCKETS % ("time_to_first_chunk", "+Inf"): "0+60x90",
        },
        '{gen_ai_response_model="gpt-5"}',
        0.95,
    ),
}


def inputs(series: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in series.items()]


def run_cases(folder: Path, tests: list[dict[str, Any]]) -> None:
    """Let promtool run tests of the rules."""
    file = folder / "cases.yaml"
    cases = {"rule_files": [str(rules) for rules in RULES], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(cases))
    assert "SUCCESS" in promtool("test", "rules", file)


def test_promtool_finds_the_rules_in_order() -> None:
    assert promtool("check", "rules", *RULES).count("SUCCESS") == len(RULES)


def test_every_rule_has_a_case() -> None:
    assert list(CASES) == list(ALERTS)
    assert list(SUMS) == list(RECORDED)


def test_every_alert_fires_when_it_should(tmp_path: Path) -> None:
    tests = []
    for name, case in CASES.items():
        annotations = {**ALERTS[name]["annotations"], "description": case.says}
        expected = {"exp_labels": {**ALERTS[name]["labels"], **case.labels}, "exp_annotations": annotations}
        alert = {"eval_time": f"{case.minutes}m", "alertname": name, "exp_alerts": [expected]}
        tests.append({"interval": "1m", "input_series": inputs(case.series), "alert_rule_test": [alert]})
    run_cases(tmp_path, tests)


def test_no_alert_fires_without_need(tmp_path: Path) -> None:
    tests = []
    for name, case in CASES.items():
        alert = {"eval_time": f"{case.minutes}m", "alertname": name, "exp_alerts": []}
        tests.append({"interval": "1m", "input_series": inputs(case.quiet), "alert_rule_test": [alert]})
    run_cases(tmp_path, tests)


def test_every_recorded_sum_is_right(tmp_path: Path) -> None:
    tests = []
    for name, (series, labels, value) in SUMS.items():
        sample = {"labels": name + labels, "value": value}
        query = {"expr": name, "eval_time": "80m", "exp_samples": [sample]}
        tests.append({"interval": "1m", "input_series": inputs(series), "promql_expr_test": [query]})
    run_cases(tmp_path, tests)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_means_and_where_to_read_on(name: str) -> None:
    told = ALERTS[name]["annotations"]
    assert told["summary"].endswith(".")
    assert told["runbook_url"] == f"RUNBOOK.md#{name.lower()}"
    assert f"\n### {name}\n" in RUNBOOK


def test_the_runbook_is_about_no_other_alert() -> None:
    assert re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE) == list(ALERTS)


def test_rules_ask_only_for_what_a_collector_counts() -> None:
    known = {*METRICS, *RECORDED} | {f"{name}_bucket" for name in METRICS}
    expressions = " ".join([*RECORDED.values(), *(rule["expr"] for rule in ALERTS.values())])
    assert set(re.findall(r"\b(?:p402|gen_ai_client)[\w:]*", expressions)) <= known
