"""Charges as Prometheus sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Timestamp

from p402.exporters.prometheus import METRICS, BudgetUse, CollectorMetrics
from p402.vocabulary import Usage
from support.sample_log import NINE, sample_charge, unpriced_charge

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def families(metrics: CollectorMetrics) -> Iterable[Metric]:
    """Every metric in the text format."""
    return text_string_to_metric_families(metrics.exposition().decode())


def samples(metrics: CollectorMetrics) -> dict[tuple[str, ...], float]:
    """Every value by its name and labels, these in the order of their names."""
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in families(metrics)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_charge_counts_its_cost_and_tokens_by_provider() -> None:
    metrics = CollectorMetrics()
    metrics.charged([sample_charge()], NINE)
    metrics.charged([sample_charge()], NINE)
    found = samples(metrics)
    assert found["p402_charges_total", "yes", "anthropic"] == 2
    assert found["p402_cost_usd_total", "engineering", "anthropic"] == 0.52847
    assert found["p402_model_cost_usd_total", "claude-opus-4-5-20251101", "anthropic"] == 0.52847
    assert found["p402_level_cost_usd_total", "project", "apollo"] == 0.52847
    assert found["p402_level_cost_usd_total", "client", "globex"] == 0.52847
    assert found["p402_task_cost_usd_total", "code-review"] == 0.52847
    assert found["p402_task_charges_total", "code-review"] == 2
    assert found["p402_tokens_total", "input", "anthropic"] == 5694
    assert found["p402_tokens_total", "output", "anthropic"] == 20_000


def test_a_charge_is_in_the_histograms_of_the_genai_conventions() -> None:
    metrics = CollectorMetrics()
    metrics.charged([sample_charge()], NINE)
    metrics.first_chunk(sample_charge(), 0.3, NINE)
    found = samples(metrics)
    call = ("chat", "anthropic", "claude-opus-4-5-20251101")
    assert found["gen_ai_client_operation_duration_seconds_sum", *call] == 12.345
    assert found["gen_ai_client_operation_duration_seconds_bucket", *call, "10.24"] == 0
    assert found["gen_ai_client_operation_duration_seconds_bucket", *call, "20.48"] == 1
    assert found["gen_ai_client_operation_time_to_first_chunk_seconds_bucket", *call, "0.25"] == 0
    assert found["gen_ai_client_operation_time_to_first_chunk_seconds_bucket", *call, "0.5"] == 1
    assert found["gen_ai_client_token_usage_sum", *call, "input"] == 2847
    assert found["gen_ai_client_token_usage_bucket", *call, "output", "4096.0"] == 0
    assert found["gen_ai_client_token_usage_bucket", *call, "output", "16384.0"] == 1
    assert found["gen_ai_client_token_usage_count", *call, "output"] == 1


def test_a_call_whose_times_are_not_known_has_no_duration() -> None:
    metrics = CollectorMetrics()
    metrics.charged([replace(sample_charge(), ended_at=sample_charge().started_at)], NINE)
    assert not any(name[0].startswith("gen_ai_client_operation_duration") for name in samples(metrics))


def test_openmetrics_names_a_trace_for_each_sum_and_bucket() -> None:
    metrics = CollectorMetrics()
    metrics.charged([sample_charge(0), sample_charge(4)], NINE)
    body, media_type = metrics.negotiated(OPENMETRICS)
    assert media_type.startswith("application/openmetrics-text")
    assert metrics.negotiated("*/*") == (metrics.exposition(), "text/plain; version=0.0.4; charset=utf-8")
    exemplars: dict[str, tuple[object, ...]] = {
        sample.name: (sample.exemplar.labels, sample.exemplar.value, sample.exemplar.timestamp)
        for family in parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }
    newest = {"trace_id": f"{5:032x}"}
    assert exemplars["p402_cost_usd_total"][:2] == (newest, 0.52847)
    assert exemplars["gen_ai_client_operation_duration_seconds_bucket"] == (
        newest,
        12.345,
        Timestamp(int(NINE.timestamp()), 0),
    )


def test_an_unpriced_charge_adds_no_cost_not_even_zero() -> None:
    metrics = CollectorMetrics()
    metrics.charged([unpriced_charge()], NINE)
    found = samples(metrics)
    assert found["p402_charges_total", "no", "openai"] == 1
    assert not any("cost_usd" in name[0] for name in found)


def test_a_usage_that_contradicts_itself_takes_nothing_away() -> None:
    metrics = CollectorMetrics()
    metrics.charged([replace(unpriced_charge(), usage=Usage(input_tokens=-5, output_tokens=7))], NINE)
    found = samples(metrics)
    assert found["p402_tokens_total", "input", "openai"] == 0
    assert found["p402_tokens_total", "output", "openai"] == 7


def test_names_that_clients_invent_are_bounded() -> None:
    metrics = CollectorMetrics()
    for number in range(600):
        who = replace(sample_charge().attribution, department=f"department-{number}", project=f"project-{number}")
        charge = replace(sample_charge(), provider=f"provider-{number}", response_model=f"model-{number}")
        metrics.charged([replace(charge, attribution=who, task_type=f"task-{number}")], NINE)
    found = samples(metrics)
    assert found["p402_charges_total", "yes", "other"] == 550
    assert found["p402_level_cost_usd_total", "project", "other"] == pytest.approx(400 * 0.264235)
    assert found["p402_task_charges_total", "other"] == 550
    by_name: dict[str, int] = {}
    for name, *_ in found:
        by_name[name] = by_name.get(name, 0) + 1
    assert by_name["p402_charges_total"] == 51
    assert by_name["p402_cost_usd_total"] == 201
    assert by_name["gen_ai_client_token_usage_count"] == 2 * 151
    assert sum(by_name.values()) < 10_000


def test_ten_thousand_employees_add_no_series() -> None:
    metrics = CollectorMetrics()
    metrics.charged([sample_charge()], NINE)
    before = set(samples(metrics))
    who = sample_charge().attribution
    for number in range(10_000):
        owner = replace(who, employee=f"e-{number}", session=f"s-{number}")
        metrics.charged([replace(sample_charge(), attribution=owner)], NINE)
    assert set(samples(metrics)) == before
    assert "e-77" not in metrics.negotiated(OPENMETRICS)[0].decode()


def test_departments_can_be_left_out() -> None:
    metrics = CollectorMetrics(most_nodes=0)
    metrics.charged([sample_charge()], NINE)
    found = samples(metrics)
    assert found["p402_cost_usd_total", "other", "anthropic"] == 0.264235
    assert not any("engineering" in name for name in found)


def test_a_budget_that_is_gone_is_not_shown_any_more() -> None:
    metrics = CollectorMetrics()
    metrics.budgets([BudgetUse("acme", "legal-month", 0.75, 0.5), BudgetUse("acme", "old", 1.0, 1.0)])
    metrics.budgets([BudgetUse("acme", "legal-month", 0.8, 0.5)])
    found = samples(metrics)
    assert found["p402_budget_spent_ratio", "legal-month", "acme"] == 0.8
    assert found["p402_budget_elapsed_ratio", "legal-month", "acme"] == 0.5
    assert ("p402_budget_spent_ratio", "old", "acme") not in found


def test_spans_requests_receipts_and_settlements_are_counted() -> None:
    metrics = CollectorMetrics()
    metrics.spans({"charged": 2, "repeated": 0})
    metrics.spans({"charged": 1})
    metrics.otlp_request("traces", 503)
    metrics.sealed()
    metrics.settlement("final")
    metrics.sessions_open(3)
    metrics.sessions_open(1)
    found = samples(metrics)
    assert found["p402_spans_total", "charged"] == 3
    assert found["p402_otlp_requests_total", "traces", "503"] == 1
    assert found["p402_receipts_total",] == 1
    assert found["p402_settlements_total", "final"] == 1
    assert found["p402_sessions_open",] == 1


def test_every_metric_is_described_and_two_collectors_do_not_share_them() -> None:
    one, other = CollectorMetrics(), CollectorMetrics()
    one.sealed()
    assert samples(other)["p402_receipts_total",] == 0
    named = {family.name: family.documentation for family in families(one)}
    assert {name.removesuffix("_total"): meaning for name, meaning in METRICS.items()} == {
        name: about for name, about in named.items() if not name.endswith("_created")
    }
