"""``p402 policies`` against a real collector: a file is applied as often as one likes, and tried before it holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.collector import RunningCollector, running_collector
from support.commands import Command, command_at
from support.otlp import ASpan, request_of

pytestmark = pytest.mark.timeout(60)

FILE = """
reason: as the board decided
departments:
  legal:
    min_tier: standard
    rules:
      - {name: simple, when: {complexity_to: 5}, then: {model: claude-haiku-4-5}}
  _default:
    strategy: cost-first
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with running_collector(tmp_path_factory.mktemp("collector"), {"P402_DEFAULT_ORGANISATION": "acme"}) as running:
        yield running


@pytest.fixture
def p402(collector: RunningCollector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_at(collector, "policies", monkeypatch, capsys)


def file_of(folder: Path, text: str, name: str = "policies.yaml") -> str:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_a_file_is_applied_shown_and_applied_again_without_a_change(p402: Command, tmp_path: Path) -> None:
    file = file_of(tmp_path, FILE)
    code, said, _ = p402("apply", file, "--dry-run")
    assert code == 0
    assert "legal: is new\n  min_tier: – → standard\n" in said
    assert said.endswith("2 of 2 policies would change\n")
    assert p402("list")[1].startswith("No department has a policy. `p402 policies apply FILE`")
    code, said, _ = p402("apply", file)
    assert (code, said.count("version 1 is in force")) == (0, 2)
    assert p402("apply", file)[1] == (
        "legal: unchanged, version 1\n_default: unchanged, version 1\n0 of 2 policies changed\n"
    )
    assert [line.split()[0] for line in p402("list")[1].splitlines()] == ["_default", "legal"]
    assert '"reason": "as the board decided"' in p402("show", "legal")[1]
    changed = file_of(tmp_path, FILE.replace("complexity_to: 5", "complexity_to: 6"))
    assert "legal: changes version 1\n  rules[0].when.complexity_to: 5 → 6\n" in p402("apply", changed)[1]


def test_toml_is_read_too(p402: Command, tmp_path: Path) -> None:
    file = file_of(tmp_path, '[departments.sales]\nmax_tier = "economy"\n', "policies.toml")
    assert "sales: is new" in p402("apply", file, "--dry-run")[1]


def test_a_policy_is_tried_on_a_call_and_on_a_period(
    p402: Command, collector: RunningCollector, tmp_path: Path
) -> None:
    assert collector.export(request_of([ASpan.of({"p402.complexity": 3})])).status_code == 200
    policies = file_of(tmp_path, FILE.replace("    min_tier: standard\n", ""))
    asked = ("test", "--department", "legal", "--policy", policies)
    call = file_of(
        tmp_path, "{provider: anthropic, model: claude-opus-4-5, output_tokens: 10, complexity: 3}", "call.yaml"
    )
    code, said, _ = p402(*asked, "--call", call)
    assert (code, said.splitlines()[0]) == (0, "downgrade (rule): claude-haiku-4-5, at most $0.00005")
    code, said, _ = p402(*asked, "--from", "2026-05-01T00:00:00Z", "--to", "2026-06-01T00:00:00Z")
    assert code == 0
    assert "  anthropic: claude-opus-4-5 → claude-haiku-4-5: 1 calls, $0.264235 → $0.052847" in said
    code, up_to_now, _ = p402(*asked, "--from", "2026-05-01T00:00:00Z")
    assert (code, up_to_now) == (0, said)
    code, _, error = p402(*asked, "--to", "2026-06-01T00:00:00Z")
    assert (code, "Give --call FILE, or --from TIME" in error) == (1, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("departments: {legal: {max_tier: cheap}, hr: {mode: maybe}}", "departments.legal cannot be used: max_tier: "),
        ("departments: {legal: {max_tier: cheap}, hr: {mode: maybe}}", "departments.hr cannot be used: mode: "),
        ("departments: []", "must have departments"),
        ("policies: {}", "may have departments and reason, and nothing else; got policies"),
        ("a: [", "cannot be read"),
        ("- a", "must be a mapping"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing_and_is_told_why(
    p402: Command, tmp_path: Path, text: str, told: str
) -> None:
    code, _, error = p402("apply", file_of(tmp_path, text))
    assert code == 1
    assert told in error


def test_what_the_collector_refuses_is_told_in_its_words(p402: Command, tmp_path: Path) -> None:
    code, _, error = p402("apply", file_of(tmp_path, FILE), "--key", "p402_wrong")
    assert code == 1
    assert "The API key is unknown or was revoked." in error


def test_a_collector_that_is_not_there_is_named(p402: Command) -> None:
    code, _, error = p402("list", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert "No collector answers at http://127.0.0.1:9" in error
    assert (
        p402("list", "--url", "ftp://x")[2]
        == "p402: The address of a collector begins with http:// or https://; got 'ftp://x'.\n"
    )
