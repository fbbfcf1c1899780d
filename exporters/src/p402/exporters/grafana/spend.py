"""The dashboard of spend, from Prometheus."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.common import VizOrientation
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from p402.exporters.grafana.panels import THIRD, Panel, bars, dashboard, lines, number, pie

__all__ = ["spend"]

_SOURCE = DataSourceRef("prometheus", "${prometheus}")
_USD, _RATIO, _SECONDS, _COUNT = "currencyUSD", "percentunit", "s", "short"
_HOUR = 3600


def spend() -> builders.Dashboard:
    """Build it."""
    made = dashboard(
        "p402-spend",
        "P402 Meter: spend",
        "What AI calls cost, who spends it, and how budgets, models and the collector do.",
        {
            "Now": _now(),
            "Spend by level": _by_level(),
            "Budgets": _budgets(),
            "Models and tasks": _models(),
            "Latency": _latency(),
            "Decisions": _decisions(),
            "Collector": _collector(),
        },
        ("Traces", "/d/p402-traces"),
    )
    levels = builders.CustomVariable("level").label("Level")
    return made.with_variable(
        builders.DatasourceVariable("prometheus").label("Prometheus").type("prometheus")
    ).with_variable(levels.values("department,organisation,project,client"))


def _query(expression: str, legend: str = "", ref: str = "A") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref).range().exemplar(exemplar=True)


def _instant(expression: str, legend: str = "") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id("A").instant()


def _now() -> list[Panel]:
    return [
        number(
            "Spent",
            "In the time that is shown.",
            _USD,
            _instant("sum(increase(p402_cost_usd_total[$__range]))"),
            _SOURCE,
        ),
        number(
            "An hour", "At the present rate.", _USD, _instant(f"sum(rate(p402_cost_usd_total[10m])) * {_HOUR}"), _SOURCE
        ),
        number("Calls", "That were charged.", _COUNT, _instant("sum(increase(p402_charges_total[$__range]))"), _SOURCE),
        number(
            "Without a price", "Of the last hour's calls.", _RATIO, _instant("p402:charges_unpriced:ratio1h"), _SOURCE
        ),
        number(
            "Refused",
            "Calls that a budget or a policy forbade.",
            _COUNT,
            _instant('sum(increase(p402_decisions_total{verdict="block"}[$__range]))'),
            _SOURCE,
        ),
        number("Flagged sessions", "That nobody has reviewed.", _COUNT, _instant("max(p402_anomalies_open)"), _SOURCE),
    ]


def _by_level() -> list[Panel]:
    of_level = 'p402_level_cost_usd_total{level="$level"}'
    return [
        lines(
            "Spend an hour by $level",
            "The newest call of each is its exemplar and leads to its trace.",
            _USD,
            [_query(f"topk(10, sum by (node) (rate({of_level}[$__rate_interval]))) * {_HOUR}", "{{node}}")],
            _SOURCE,
            stacked=True,
        ),
        bars(
            "Spent by $level",
            "In the time that is shown.",
            _USD,
            _instant(f"topk(10, sum by (node) (increase({of_level}[$__range])))", "{{node}}"),
            _SOURCE,
        ),
    ]


def _budgets() -> list[Panel]:
    by = "max by (organisation, budget)"
    return [
        bars(
            "Spent of each cap",
            "Of the node that has spent most of it.",
            _RATIO,
            _instant(f"topk(15, {by} (p402_budget_spent_ratio))", "{{budget}}"),
            _SOURCE,
        ).max(1),
        lines(
            "Burn against budget",
            "Spent against the part of the period that is over: above 1, the cap comes before the end.",
            _COUNT,
            [_query(f"topk(10, {by} (p402_budget_spent_ratio / (p402_budget_elapsed_ratio > 0)))", "{{budget}}")],
            _SOURCE,
        ),
    ]


def _models() -> list[Panel]:
    tokens = "gen_ai_client_token_usage_bucket"
    return [
        pie(
            "Model mix",
            "By what was spent in the time that is shown.",
            _USD,
            _instant("sum by (model) (increase(p402_model_cost_usd_total[$__range]))", "{{model}}"),
            _SOURCE,
        ),
        lines(
            "Cost per call by task",
            "Mean of an hour.",
            _USD,
            [_query("task_type:p402_cost_usd_per_charge:ratio1h", "{{task_type}}")],
            _SOURCE,
            width=THIRD,
        ),
        lines(
            "Tokens a second",
            "Input with what was cached, and output.",
            _COUNT,
            [_query("sum by (direction) (rate(p402_tokens_total[$__rate_interval]))", "{{direction}}")],
            _SOURCE,
            stacked=True,
            width=THIRD,
        ),
        lines(
            "Tokens of a call",
            "The median, and what one call of twenty has more of.",
            _COUNT,
            [
                _query(
                    f"histogram_quantile({part}, sum by (gen_ai_token_type, le) (rate({tokens}[$__rate_interval])))",
                    f"{{{{gen_ai_token_type}}}} p{name}",
                    ref,
                )
                for part, name, ref in ((0.5, 50, "A"), (0.95, 95, "B"))
            ],
            _SOURCE,
            width=24,
        ),
    ]


def _latency() -> list[Panel]:
    return [
        lines(
            title,
            about,
            _SECONDS,
            [
                _query(
                    f"histogram_quantile({part}, sum by (gen_ai_response_model, le) "
                    f"(rate({metric}_bucket[$__rate_interval])))",
                    f"{{{{gen_ai_response_model}}}} p{name}",
                    ref,
                )
                for part, name, ref in ((0.5, 50, "A"), (0.95, 95, "B"))
            ],
            _SOURCE,
        )
        for title, about, metric in (
            ("Latency", "From the request to the end of the answer.", "gen_ai_client_operation_duration_seconds"),
            (
                "Time to first chunk",
                "Of streamed calls.",
                "gen_ai_client_operation_time_to_first_chunk_seconds",
            ),
        )
    ]


def _decisions() -> list[Panel]:
    return [
        lines(
            "Decisions a second",
            "Made by the collector; holders of leases decide by themselves.",
            "ops",
            [_query("sum by (verdict) (rate(p402_decisions_total[$__rate_interval]))", "{{verdict}}")],
            _SOURCE,
            stacked=True,
        ),
        bars(
            "Why calls were not simply allowed",
            "In the time that is shown.",
            _COUNT,
            _instant(
                'sum by (verdict, code) (increase(p402_decisions_total{verdict!="allow"}[$__range]))',
                "{{verdict}}: {{code}}",
            ),
            _SOURCE,
        ),
    ]


def _collector() -> list[Panel]:
    outcomes = "sum by (outcome) (rate(p402_spans_total[$__rate_interval]))"
    return [
        lines(
            "Spans a second", "By what became of them.", "ops", [_query(outcomes, "{{outcome}}")], _SOURCE, stacked=True
        ),
        lines(
            "Behind",
            "Charges that a follower has not seen, and spans that wait for a backend.",
            _COUNT,
            [
                _query("max by (follower) (p402_follower_lag_charges)", "{{follower}}"),
                _query("max by (backend) (p402_forward_backlog_spans)", "to {{backend}}", "B"),
            ],
            _SOURCE,
        ),
        lines(
            "Oldest receipt without an anchor",
            "0 where all are anchored, or nothing is settled.",
            _SECONDS,
            [_query("max(p402_receipts_unanchored_seconds)", "age")],
            _SOURCE,
        ),
        bars(
            "Alerts that fire",
            "The runbook says what each means.",
            _COUNT,
            _instant('sum by (alertname) (ALERTS{alertname=~"P402.+",alertstate="firing"})', "{{alertname}}"),
            _SOURCE,
        ).orientation(VizOrientation.HORIZONTAL),
    ]
