"""``p402 directory`` against a real collector: a file is imported as often as one likes, and listed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.collector import RunningCollector, running_collector
from support.commands import Command, command_at
from support.directory import people_csv

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "collector", {"P402_DEFAULT_ORGANISATION": "acme"}) as running:
        yield running


@pytest.fixture
def p402(collector: RunningCollector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_at(collector, "directory", monkeypatch, capsys)


def test_people_are_imported_once_and_listed(p402: Command, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(people_csv("e-1,Ada Lovelace,legal", "e-2,Bob Bernoulli,legal"))
    assert p402("import", str(file), "--dry-run") == (
        0,
        "would be: people: 2 added\nwould be: departments: 1 added\nnew departments, without names yet: legal\n",
        "",
    )
    assert p402("import", str(file))[1].startswith("people: 2 added\n")
    assert p402("import", str(file)) == (0, "people: 2 unchanged\ndepartments: 1 unchanged\n", "")
    _, people, _ = p402("list", "people", "--json")
    assert [json.loads(line)["display_name"] for line in people.splitlines()] == ["Ada Lovelace", "Bob Bernoulli"]
    assert "Ada Lovelace" in p402("list", "people", "--department", "legal")[1]
    assert "legal" in p402("list", "departments")[1]
    file.write_text(people_csv("e-1,Ada Lovelace,legal"))
    assert p402("import", str(file), "--prune")[1].startswith("people: 1 unchanged, 1 removed\n")


def test_a_scim_file_is_read_by_the_attribute_that_is_chosen(p402: Command, tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    file.write_text(json.dumps([{"userName": "ada@acme.example", "externalId": "e-1", "displayName": "Ada"}]))
    assert p402("import", str(file), "--employee-from", "externalId")[0] == 0
    assert json.loads(p402("list", "people", "--json")[1])["employee"] == "e-1"


def test_what_is_wrong_is_told_by_line_and_column(p402: Command, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(people_csv(",Ada,legal"))
    code, said, wrong = p402("import", str(file))
    assert (code, said) == (1, "")
    assert wrong.startswith("p402: Nothing was imported. line 2, employee: must be an id")
    assert p402("import", str(tmp_path / "none.csv"))[0] == 1
