"""Documentation cannot drift: every setting, endpoint, metric, command and environment variable is in a README."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from p402.collector.cli import parser
from p402.collector.settings import FILE_ONLY, ONE_TABLE, Settings, load_settings
from p402.collector.storage.keys import SCOPES
from p402.collector.wiring import build
from p402.exporters.prometheus import METRICS
from p402.instrumentation import environment_variables

ROOT = Path(__file__).parents[2]
COLLECTOR = (ROOT / "collector" / "README.md").read_text()
INSTRUMENTATION = (ROOT / "instrumentation" / "README.md").read_text()


def table(name: str) -> str:
    return f"[{name}]" if name in ONE_TABLE else f"[[{name}]]"


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_in_the_collectors_readme(name: str) -> None:
    assert f"| `{table(name) if name in FILE_ONLY else f'P402_{name.upper()}'}` |" in COLLECTOR


def test_the_readme_names_no_setting_that_does_not_exist() -> None:
    named = re.findall(r"^\| `(?:P402_|\[\[?)(\w+)(?:\]?\])?` \|", COLLECTOR, re.MULTILINE)
    assert {name.lower() for name in named} - {"config"} == set(Settings.model_fields)


def test_the_example_configuration_has_every_setting_and_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    example = ROOT / "collector" / "p402.example.toml"
    monkeypatch.setenv("P402_CONFIG", str(example))
    load_settings()
    for name in Settings.model_fields:
        written = f"{re.escape(table(name))}$" if name in FILE_ONLY else f"{name} = "
        assert re.search(rf"^#? ?{written}", example.read_text(), re.MULTILINE), name


def test_every_endpoint_is_in_the_collectors_readme_and_no_other(tmp_path: Path) -> None:
    app = build(load_settings(data_dir=tmp_path)).app
    served = {f"{route.method} {route.resource.canonical}" for route in app.router.routes() if route.resource}
    named = {
        f"{method} {path}"
        for method, path in re.findall(r"^\| `(GET|POST|PUT|DELETE) (\S+)` \|", COLLECTOR, re.MULTILINE)
    }
    assert named == served


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_is_in_the_exporters_readme(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "exporters" / "README.md").read_text()


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_of_a_key_is_in_the_collectors_readme(scope: str) -> None:
    assert f"`{scope}`" in COLLECTOR


def test_every_command_is_in_the_collectors_readme() -> None:
    [commands] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for command in commands.choices:
        assert f"`p402 {command}" in COLLECTOR


def test_every_variable_of_the_instrumentation_is_in_its_readme() -> None:
    names = [name for name in vars(environment_variables) if name.startswith("P402_")]
    assert len(names) > 5
    for name in names:
        assert f"`{name}`" in INSTRUMENTATION
