"""Charges as Prometheus sees them."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from p402.exporters.prometheus import CONTENT_TYPE, METRICS, CollectorMetrics
from p402.vocabulary import Usage
from support.sample_log import sample_charge, unpriced_charge


def samples(metrics: CollectorMetrics) -> dict[tuple[str, ...], float]:
    """Every value by its name and labels."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_charge_counts_its_cost_and_tokens_by_provider() -> None:
    metrics = CollectorMetrics()
    metrics.charged([sample_charge()])
    metrics.charged([sample_charge()])
    found = samples(metrics)
    assert found["p402_charges_total", "yes", "anthropic"] == 2
    assert found["p402_cost_usd_total", "anthropic"] == 0.52847
    assert found["p402_tokens_total", "input", "anthropic"] == 5694
    assert found["p402_tokens_total", "output", "anthropic"] == 20_000


def test_an_unpriced_charge_adds_no_cost_not_even_zero() -> None:
    metrics = CollectorMetrics()
    metrics.charged([unpriced_charge()])
    found = samples(metrics)
    assert found["p402_charges_total", "no", "openai"] == 1
    assert ("p402_cost_usd_total", "openai") not in found


def test_a_usage_that_contradicts_itself_takes_nothing_away() -> None:
    metrics = CollectorMetrics()
    metrics.charged([replace(unpriced_charge(), usage=Usage(input_tokens=-5, output_tokens=7))])
    found = samples(metrics)
    assert found["p402_tokens_total", "input", "openai"] == 0
    assert found["p402_tokens_total", "output", "openai"] == 7


def test_provider_names_that_clients_invent_are_bounded() -> None:
    metrics = CollectorMetrics()
    for number in range(60):
        metrics.charged([replace(unpriced_charge(), provider=f"invented-{number}")])
    found = samples(metrics)
    assert found["p402_charges_total", "no", "other"] == 10
    assert len([name for name in found if name[0] == "p402_charges_total"]) == 51


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
    families = {family.name: family for family in text_string_to_metric_families(one.exposition().decode())}
    assert {name.removesuffix("_total"): meaning for name, meaning in METRICS.items()} == {
        name: family.documentation for name, family in families.items() if not name.endswith("_created")
    }
    assert CONTENT_TYPE.startswith("text/plain")
