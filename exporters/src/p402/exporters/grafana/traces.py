"""The dashboard of traces, in TraceQL: of Grafana Tempo, and of what speaks its API.

A backend samples and rounds; the ledger has the exact sums.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import tempo
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from p402.exporters.grafana.panels import THIRD, Panel, dashboard, lines, rows

__all__ = ["traces"]

_SOURCE = DataSourceRef("tempo", "${traces}")
_COST = "span.p402.cost.total_usd"
_PRICED = f"{{ {_COST} > 0 }}"
_SHOWN = (
    f"select({_COST}, span.p402.department, span.p402.session, span.gen_ai.response.model, span.p402.decision.verdict, "
    "span.p402.decision.rationale)"
)
_SESSION = ("Session and receipts", "${collector}/v1/sessions/${__value.raw:percentencode}")


def traces() -> builders.Dashboard:
    """Build it."""
    made = dashboard(
        "p402-traces",
        "P402 Meter: traces",
        "Calls as spans: each leads to its trace, and its session to its receipts.",
        {"Calls": _calls(), "Spend by level": _by_level(), "Models": _models(), "Latency and decisions": _latency()},
        ("Spend", "/d/p402-spend"),
    )
    return made.with_variable(builders.DatasourceVariable("traces").label("Traces").type("tempo"))


def _query(expression: str, ref: str = "A") -> tempo.TempoQuery:
    return tempo.TempoQuery().query(expression).query_type("traceql").ref_id(ref).limit(50)


def _calls() -> list[Panel]:
    links = {"p402.session": _SESSION, "span.p402.session": _SESSION}
    return [
        rows("Dear calls", "Above five cents.", _query(f"{{ {_COST} > 0.05 }} | {_SHOWN}"), _SOURCE, links),
        rows(
            "Refused, clamped and downgraded calls",
            "With the reason.",
            _query(f'{{ span.p402.decision.verdict =~ "block|clamp|downgrade" }} | {_SHOWN}'),
            _SOURCE,
            links,
        ),
        rows(
            "Failed calls",
            "Of models.",
            _query(f"{{ span.gen_ai.operation.name != nil && status = error }} | {_SHOWN}"),
            _SOURCE,
            links,
        ),
    ]


def _by_level() -> list[Panel]:
    return [
        lines(
            f"Spend by {level}",
            "Of each step.",
            "currencyUSD",
            [_query(f"{_PRICED} | sum_over_time({_COST}) by (span.p402.{level})")],
            _SOURCE,
            stacked=True,
            width=THIRD,
        )
        for level in ("department", "project", "client")
    ]


def _models() -> list[Panel]:
    return [
        lines(
            "Model mix",
            "By spend.",
            "currencyUSD",
            [_query(f"{_PRICED} | sum_over_time({_COST}) by (span.gen_ai.response.model)")],
            _SOURCE,
            stacked=True,
            width=THIRD,
        ),
        lines(
            "Cost per call by task",
            "Mean.",
            "currencyUSD",
            [_query(f"{_PRICED} | avg_over_time({_COST}) by (span.p402.task_type)")],
            _SOURCE,
            width=THIRD,
        ),
        lines(
            "Tokens",
            "In and out.",
            "short",
            [
                _query("{ span.gen_ai.usage.input_tokens > 0 } | sum_over_time(span.gen_ai.usage.input_tokens)"),
                _query("{ span.gen_ai.usage.output_tokens > 0 } | sum_over_time(span.gen_ai.usage.output_tokens)", "B"),
            ],
            _SOURCE,
            width=THIRD,
        ),
    ]


def _latency() -> list[Panel]:
    first_chunk = "span.gen_ai.response.time_to_first_chunk"
    return [
        lines(
            "Latency",
            "Median, and what one call of twenty exceeds.",
            "s",
            [_query("{ span.gen_ai.operation.name != nil } | quantile_over_time(duration, 0.5, 0.95)")],
            _SOURCE,
            width=THIRD,
        ),
        lines(
            "Time to first chunk",
            "Of streamed calls.",
            "s",
            [_query(f"{{ {first_chunk} > 0 }} | quantile_over_time({first_chunk}, 0.5, 0.95)")],
            _SOURCE,
            width=THIRD,
        ),
        lines(
            "Decisions a second",
            "By verdict.",
            "ops",
            [_query("{ span.p402.decision.verdict != nil } | rate() by (span.p402.decision.verdict)")],
            _SOURCE,
            stacked=True,
            width=THIRD,
        ),
    ]
