"""The shape of the house: one namespace, one version, typed, and nothing that does not belong at the top."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("receipts", "instrumentation", "exporters", "collector")
TOP = {*PARTS, "tests", "pyproject.toml", "README.md", "Makefile", "CHANGELOG.md"}


def project(part: str) -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"]
    return found


def tracked() -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_the_top_holds_only_what_it_is_meant_to() -> None:
    assert {path.split("/")[0] for path in tracked()} - TOP == {
        name for name in {path.split("/")[0] for path in tracked()} if name.startswith(".")
    }


@pytest.mark.parametrize("part", PARTS)
def test_the_namespace_belongs_to_nobody(part: str) -> None:
    assert not (ROOT / part / "src" / "p402" / "__init__.py").exists()


@pytest.mark.parametrize("part", PARTS)
def test_every_package_is_typed_and_says_what_it_is(part: str) -> None:
    for package in (ROOT / part / "src" / "p402").iterdir():
        if package.name != "__pycache__":
            assert (package / "py.typed").exists()
            assert (package / "__init__.py").read_text().startswith('"""')


def test_all_parts_have_one_version_and_pin_each_other_to_it() -> None:
    [version] = {str(project(part)["version"]) for part in PARTS}
    for part in PARTS:
        dependencies = project(part)["dependencies"]
        assert isinstance(dependencies, list)
        ours = [name for name in dependencies if name.startswith("p402-")]
        assert all(name.endswith(f"=={version}") for name in ours)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_a_readme(part: str) -> None:
    assert len((ROOT / part / "README.md").read_text().splitlines()) > 10


def test_the_lock_has_hashes_and_names_no_host() -> None:
    lock = (ROOT / "tests" / "requirements.txt").read_text()
    requirements = [line for line in lock.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    assert len(requirements) > 50
    assert lock.count("--hash=sha256:") >= len(requirements)
    assert "://" not in lock
    assert "://" not in (ROOT / "tests" / "package-lock.json").read_text()


def test_no_third_party_code_is_committed() -> None:
    assert [
        path for path in tracked() if path.endswith((".min.js", ".whl", ".tar.gz")) or "node_modules/" in path
    ] == []
