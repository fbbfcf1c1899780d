"""What an import pulls in: a service stays light, an auditor needs nothing of ours but the receipts."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("module", ["p402.instrumentation", "p402.instrumentation.instrumentor"])
def test_a_service_loads_nothing_of_the_server(module: str) -> None:
    heavy = {"aiohttp.web", "sqlalchemy", "web3", "pydantic_settings", "openai", "anthropic", "tiktoken"}
    assert heavy & loaded_by(module) == set()
    assert not any(name.startswith(("p402.collector", "p402.exporters", "p402.receipts")) for name in loaded_by(module))


def test_the_vocabulary_loads_the_standard_library_only() -> None:
    outside = {name.split(".")[0] for name in loaded_by("p402.vocabulary")} - set(sys.stdlib_module_names)
    assert {name for name in outside if not name.startswith(("_", "p402"))} == {"sitecustomize"} & outside


def test_the_collector_does_not_load_the_instrumentation() -> None:
    assert not any(name.startswith("p402.instrumentation") for name in loaded_by("p402.collector.wiring"))


def test_the_collector_loads_opentelemetrys_sdk_only_where_it_is_traced() -> None:
    loaded = loaded_by("p402.collector.cli.serve")
    assert not any(
        name.startswith(("opentelemetry.sdk", "opentelemetry.trace", "p402.collector.tracing")) for name in loaded
    )


@pytest.mark.timeout(300)
def test_the_receipts_pass_their_tests_in_an_environment_that_has_nothing_else_of_ours(tmp_path: Path) -> None:
    venv.create(tmp_path / "auditor", with_pip=True)
    python = tmp_path / "auditor" / "bin" / "python"
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(locked({"rfc8785", "cryptography", "pytest", "hypothesis", "hatchling", "editables"}))
    run = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*run, "--require-hashes", "-r", str(wanted)], check=True)
    subprocess.run([*run, "--no-deps", "--no-build-isolation", str(ROOT / "receipts")], check=True)
    listed = subprocess.run([str(python), "-m", "pip", "list"], check=True, capture_output=True, text=True).stdout
    assert re.findall(r"^(p402\S*)", listed, re.MULTILINE) == ["p402-receipts"]
    empty = tmp_path / "pytest.ini"
    empty.write_text(f"[pytest]\npythonpath = {ROOT / 'tests'}\n")
    tests = [str(ROOT / "tests" / folder) for folder in ("receipts", "vocabulary")]
    command = [str(python), "-m", "pytest", "-q", "-c", str(empty), "--import-mode=importlib", "-p", "no:cacheprovider"]
    result = subprocess.run([*command, *tests], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-3000:]
    assert "skipped" not in result.stdout.splitlines()[-1]


def locked(names: set[str]) -> str:
    """The part of the lock that some packages need."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "tests" / "requirements.txt").read_text())
    by_name = {block.split("==")[0].lower(): block for block in blocks if "==" in block}
    wanted, todo = set[str](), set(names)
    while todo:
        name = todo.pop()
        if name in by_name and name not in wanted:
            wanted.add(name)
            needed = [need for need in requires(name) or [] if "extra ==" not in need]
            todo |= {re.split(r"[^A-Za-z0-9._-]", need)[0].lower().replace("_", "-") for need in needed}
    return "\n".join(by_name[name] for name in sorted(wanted)) + "\n"
