"""Dashboards are what their builders make, say what they should, and ask for what there is. Grafana itself is not here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from p402.collector.cli import main
from p402.exporters.grafana import DASHBOARDS, FOLDER
from p402.exporters.grafana.panels import written
from p402.exporters.grafana.spend import spend
from p402.exporters.grafana.traces import traces
from p402.exporters.prometheus import METRICS
from p402.exporters.prometheus.rules import RULES
from p402.vocabulary import attributes
from support.dashboards import expressions, panels, queries

SPEND, TRACES = DASHBOARDS
PARSER = Path(__file__).parents[1] / "support" / "traceql.mjs"
WANTED = ("level", "budget", "model mix", "task", "tokens", "latency", "first chunk", "decisions")


def test_the_json_is_what_the_builders_make() -> None:
    assert SPEND.read_text() == written(spend()), "make dashboards writes it anew"
    assert TRACES.read_text() == written(traces()), "make dashboards writes it anew"


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_shows_everything_that_is_watched(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    assert dashboard["uid"] == file.stem
    told = " ".join(panel["title"].lower() for panel in panels(dashboard)) + " spend by level"
    wanted = WANTED if file == SPEND else [word for word in WANTED if word != "budget"]
    assert [word for word in wanted if word not in told] == []
    for panel in panels(dashboard):
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] in ("${prometheus}", "${traces}")
        assert [target["refId"] for target in panel["targets"]] == ["A", "B"][: len(panel["targets"])]


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_panels_do_not_lie_on_each_other(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in panels(dashboard):
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_prometheus_is_asked_for_metrics_that_exist() -> None:
    known = {*METRICS} | {f"{name}_bucket" for name in METRICS}
    known |= {rule["record"] for group in yaml.safe_load(RULES[0].read_text())["groups"] for rule in group["rules"]}
    for expression in expressions(SPEND):
        named = set(re.findall(r"(?:[a-z_]+:)?\b(?:p402_|p402:|gen_ai_client_)[\w:]+", expression))
        assert named <= known, expression


def test_traceql_is_what_grafana_reads() -> None:
    """By the grammar of its editor; what a backend answers is not known here, since none that speaks TraceQL can be run."""
    node = shutil.which("node")
    assert node, "Node.js is needed, as for the local Tempo node"
    asked = json.dumps([*expressions(TRACES), "{ span.broken > } | rate()"])
    told = subprocess.run([node, str(PARSER)], input=asked, capture_output=True, text=True, check=True).stdout
    *ours, broken = json.loads(told)
    assert broken
    assert [query for query, errors in zip(expressions(TRACES), ours, strict=True) if errors] == []


def test_traceql_asks_for_attributes_that_spans_have() -> None:
    words = {value for name, value in vars(attributes).items() if name.isupper()}
    ours = {f"p402.{level}" for level in ("department", "project", "client", "session")} | {"p402.cost.total_usd"}
    shape = re.compile(
        r"\{ [^{}]+ \}( \| (select\([^()]+\)|rate\(\) by \([\w.]+\)|(sum|avg)_over_time\([\w.]+\)( by \([\w.]+\))?"
        r"|quantile_over_time\([\w.]+, 0\.5, 0\.95\)))?"
    )
    found = expressions(TRACES)
    assert len(found) > 12
    for expression in found:
        assert shape.fullmatch(expression), expression
        assert set(re.findall(r"span\.((?:p402|gen_ai)[\w.]*)", expression)) <= words | ours, expression


def test_a_session_of_a_span_leads_to_its_receipts() -> None:
    dashboard = json.loads(TRACES.read_text())
    links = [str(panel["fieldConfig"]["overrides"]) for panel in panels(dashboard) if panel["type"] == "table"]
    assert len(links) == 3
    assert all("${collector}/v1/sessions/${__value.raw:percentencode}" in link for link in links)


def test_provisioning_names_each_datasource_once_and_leads_from_exemplars_to_traces() -> None:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "p402.yaml").read_text())
    by_uid = {source["uid"]: source for source in found["datasources"]}
    [leads_to] = by_uid["p402-prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert leads_to["name"] == "trace_id"
    assert by_uid[leads_to["datasourceUid"]]["type"] == "jaeger"


def test_the_command_writes_what_grafana_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboards", "--out", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert (tmp_path / "dashboards" / SPEND.name).read_bytes() == SPEND.read_bytes()
    provider = yaml.safe_load((tmp_path / "provisioning" / "dashboards" / "p402.yaml").read_text())
    assert provider["providers"][0]["type"] == "file"


def test_queries_are_found_in_rows_too() -> None:
    assert len(queries(json.loads(SPEND.read_text()))) > 20
