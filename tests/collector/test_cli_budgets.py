"""``p402 budgets`` against a real collector: a file is applied as often as one likes, and shows first what it would change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.collector import RunningCollector, running_collector
from support.commands import Command, command_at
from support.otlp import ASpan, request_of

pytestmark = pytest.mark.timeout(60)

FILE = """
budgets:
  legal-month: {level: department, node: legal, cap: "500.00", owner: Ada}
  session: {level: session, period: total, cap: "5.00"}
  request: {level: request, cap: "0.50"}
  rate: {level: organisation, node: acme, measure: requests, cap: 600, period: rolling, length: 60s}
"""
TOML = """
[budgets.legal-month]
level = "department"
node = "legal"
cap = "0.20"
"""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "collector", {"P402_DEFAULT_ORGANISATION": "acme"}) as running:
        yield running


@pytest.fixture
def p402(collector: RunningCollector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_at(collector, "budgets", monkeypatch, capsys)


def test_a_file_is_tried_applied_and_applied_again(p402: Command, tmp_path: Path) -> None:
    file, other = tmp_path / "budgets.yaml", tmp_path / "budgets.toml"
    file.write_text(FILE)
    other.write_text(TOML)
    code, tried, _ = p402("apply", str(file), "--dry-run")
    assert (code, "This would be: 4 created, 0 changed, 0 retired, 0 unchanged" in tried) == (0, True)
    assert p402("list")[1].count("legal-month") == 0
    assert "4 created" in p402("apply", str(file))[1]
    assert p402("apply", str(file))[1].strip() == "0 created, 0 changed, 0 retired, 4 unchanged"
    [ceiling] = [line.split("│") for line in p402("list")[1].splitlines() if "│ request " in line]
    assert ceiling[2].strip() == "each call"  # and not the month that a budget has where nothing is said
    _, pruned, _ = p402("apply", str(other), "--prune")
    assert "0 created, 1 changed, 3 retired, 0 unchanged" in pruned
    [cap] = [line for line in pruned.splitlines() if "│ cap " in line]
    assert [cell.strip() for cell in cap.split("│")[1:-1]] == ["legal-month", "changed", "cap", "500.00", "0.20"]


def test_a_file_that_is_wrong_is_refused_before_anything_is_sent(p402: Command, tmp_path: Path) -> None:
    file = tmp_path / "budgets.yaml"
    file.write_text("budgets: {a: {level: team, cap: 5}, b: {level: employee, cap: 0.5}}")
    code, _, said = p402("apply", str(file))
    assert code == 1
    assert "The budget 'a' cannot be used: level:" in said
    assert "The budget 'b' cannot be used: cap: an amount is a decimal string" in said
    file.write_text("budgets: {c: {level: session, cap: '5.00', perid: total}}")
    assert "The budget 'c' cannot be used: perid: there is no such field." in p402("apply", str(file))[2]
    file.write_text("budget: {}")
    assert "may have budgets and nothing else; got budget" in p402("apply", str(file))[2]
    file.write_text("budgets: [1]")
    assert "a budget by the name of each" in p402("apply", str(file))[2]


def test_what_is_used_of_a_cap_is_seen_and_the_glass_is_broken(
    p402: Command, collector: RunningCollector, tmp_path: Path
) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(TOML + 'period = "total"\n')  # the span is of a month that is long over
    p402("apply", str(file))
    assert collector.export(request_of([ASpan()])).status_code == 200
    _, listed, _ = p402("list")
    row = next(line for line in listed.splitlines() if "legal-month" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]][3:] == [
        "━" * 20,
        "132%",
        "$0.26",
        "$0.00",
        "$0.20",
        "enforce",
    ]
    code, listed, _ = p402("override", "legal-month", "0.30", "--owner", "cfo", "--reason", "quarter end")
    assert (code, listed.startswith("legal-month: 0.3 more until ")) == (0, True)
    shown = json.loads(p402("show", "legal-month")[1])
    assert (shown["cap_in_force"], shown["overrides"][0]["reason"]) == ("0.5", "quarter end")
    assert p402("show", "nothing")[2].startswith("p402: There is no budget 'nothing' that you may see.")
    assert p402("list", "--node", "sales")[0] == 0
    code, leases, _ = p402("leases")
    assert (code, "unreconciled" in leases) == (0, False)
    assert "There is no lease" in p402("release", "lease_1", "--reason", "gone")[2]


def test_without_a_collector_it_is_said_where_one_was_looked_for(p402: Command) -> None:
    code, _, said = p402("list", "--url", "http://127.0.0.1:1")
    assert (code, "No collector answers at http://127.0.0.1:1" in said) == (1, True)
