"""Panels as both dashboards have them, and the way they are written: the same bytes from run to run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, piechart, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)

__all__ = [
    "HALF",
    "SEVENTH",
    "THIRD",
    "Panel",
    "Query",
    "bars",
    "dashboard",
    "lines",
    "number",
    "pie",
    "rows",
    "written",
]

Query: TypeAlias = Builder[Dataquery]
Panel: TypeAlias = Builder[models.Panel]

SEVENTH, THIRD, HALF = 4, 8, 12
"""Widths, of 24."""
_HIGH, _LOW = 8, 4


def number(title: str, about: str, unit: str, query: Query, source: models.DataSourceRef) -> stat.Panel:
    """Show one number."""
    panel = stat.Panel().title(title).description(about).datasource(source).unit(unit).with_target(query)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).color_mode(BigValueColorMode.NONE)
    return panel.height(_LOW).span(SEVENTH)


def lines(
    title: str,
    about: str,
    unit: str,
    queries: Sequence[Query],
    source: models.DataSourceRef,
    *,
    stacked: bool = False,
    width: int = HALF,
) -> timeseries.Panel:
    """Show what changes over time."""
    panel = timeseries.Panel().title(title).description(about).datasource(source).unit(unit).min(0)
    for query in queries:
        panel = panel.with_target(query)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.BOTTOM)
    panel = panel.legend(legend.show_legend(show_legend=True).calcs(["lastNotNull", "max"]))
    return panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)).height(_HIGH).span(width)


def bars(title: str, about: str, unit: str, query: Query, source: models.DataSourceRef) -> bargauge.Panel:
    """Compare a few."""
    panel = bargauge.Panel().title(title).description(about).datasource(source).unit(unit).min(0).with_target(query)
    panel = panel.orientation(VizOrientation.HORIZONTAL)
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).height(_HIGH).span(HALF)


def pie(title: str, about: str, unit: str, query: Query, source: models.DataSourceRef) -> piechart.Panel:
    """Show shares of a whole."""
    panel = piechart.Panel().title(title).description(about).datasource(source).unit(unit).with_target(query)
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).height(_HIGH).span(THIRD)


def rows(
    title: str, about: str, query: Query, source: models.DataSourceRef, links: Mapping[str, tuple[str, str]]
) -> table.Panel:
    """List things; ``links`` gives columns a title and an address."""
    panel = table.Panel().title(title).description(about).datasource(source).with_target(query)
    for column, (told, address) in links.items():
        link = {"title": told, "url": address, "targetBlank": True}
        panel = panel.override_by_name(column, [models.DynamicConfigValue("links", [link])])
    return panel.height(_HIGH).span(24)


def dashboard(
    uid: str, title: str, about: str, sections: Mapping[str, Sequence[Panel]], other: tuple[str, str]
) -> builders.Dashboard:
    """Put panels together, section by section, with links to the other dashboard and to the collector."""
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["p402", "llm", "finops"])
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    made = made.time("now-6h", "now").refresh("1m").timezone("browser")
    collector = builders.TextBoxVariable("collector").label("Collector").default_value("http://localhost:4318")
    made = made.with_variable(collector)
    for told, address in (other, ("Collector", "${collector}/")):
        link = (
            builders.DashboardLink(told)
            .type(models.DashboardLinkType.LINK)
            .url(address)
            .target_blank(target_blank=True)
        )
        made = made.link(link.keep_time(address.startswith("/d/")))
    for name, panels in sections.items():
        made = made.with_row(builders.Row(name))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def written(made: builders.Dashboard) -> str:
    """Write a dashboard."""
    return json.dumps(made.build(), cls=JSONEncoder, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
