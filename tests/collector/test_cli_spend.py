"""``p402 spend`` and ``p402 top``: sums that people read, from a real collector."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from rich.console import Console

from p402.collector.cli import main
from p402.collector.cli.spend import spend_table, tokens
from p402.collector.cli.top import screen
from support.collector import PROTOBUF, RunningCollector, running_collector
from support.otlp import ASpan, request_of

pytestmark = pytest.mark.timeout(60)
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    settings = {"P402_DEFAULT_ORGANISATION": "acme"}
    with running_collector(tmp_path_factory.mktemp("collector"), settings) as running:
        now = int((datetime.now(UTC) - timedelta(seconds=5)).timestamp()) * 10**9
        spans = [
            ASpan(),
            ASpan(),
            ASpan.of({"p402.department": "sales"}),
            ASpan.of({"p402.department": None}, started_ns=now),
        ]
        httpx.post(f"{running.url}/v1/traces", content=request_of(spans), headers=PROTOBUF).raise_for_status()
        yield running


@pytest.fixture
def p402(collector: RunningCollector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for name in [name for name in os.environ if name.startswith("P402_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("P402_COLLECTOR_URL", collector.url)
    monkeypatch.setenv("COLUMNS", "140")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_month_is_shown_with_shares_that_add_up(p402: Command) -> None:
    code, said, _ = p402("spend", "--month", "2026-05")
    rows = [line.split() for line in said.splitlines()]
    assert code == 0
    assert next(row for row in rows if row[:1] == ["legal"])[:4] == ["legal", "$0.53", "66.7", "%"]
    assert next(row for row in rows if row[:1] == ["sales"])[:4] == ["sales", "$0.26", "33.3", "%"]
    assert next(row for row in rows if row[:1] == ["in"])[:5] == ["in", "all", "$0.79", "100.0", "%"]
    _, said, _ = p402("spend", "--month", "2026-05", "--top", "1")
    assert "1 more" in said


def test_any_level_and_period_can_be_asked_for_and_read_by_a_program(p402: Command) -> None:
    code, said, _ = p402("spend", "--by", "employee", "--from", "2026-05-01T00:00:00Z", "--json")
    answer = json.loads(said)
    assert (code, answer["level"], answer["spend"][0]["employee"]) == (0, "employee", "e-1042")
    _, said, _ = p402("spend", "--month", "2024-12")
    assert "2024-12-01T00:00:00.000Z to 2025-01-01T00:00:00.000Z" in said
    assert "Nothing was spent by 'acme' then. --organisation asks for another one's spend" in said


def test_the_first_small_calls_do_not_look_like_nothing() -> None:
    row = {"department": "legal", "cost_usd": "0.00008075", "charges": 1, "unpriced_charges": 0}
    table = spend_table({"spend": [{**row, "tokens": {"input": 3, "output": 40}}]}, "department", 25)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    shown = console.export_text()
    assert shown.count("$0.000081") == 2  # legal, and in all
    assert "department" in shown  # in one piece, in a terminal of the usual width


def test_a_month_that_is_none_is_refused(p402: Command) -> None:
    code, _, said = p402("spend", "--month", "May")
    assert (code, "--month takes a month such as 2026-10; got 'May'" in said) == (1, True)


def test_top_shows_today(p402: Command) -> None:
    code, said, _ = p402("top", "--once")
    assert code == 0
    assert "unattributed" in said
    assert "$0.2642" in said


def test_top_tells_how_fast_money_is_spent() -> None:
    row = {"department": "legal", "cost_usd": "1.5", "charges": 3, "tokens": {"input": 10, "output": 20}}
    today = {"organisation": "acme", "spend": [row]}
    now = datetime(2026, 5, 15, 9, 30, tzinfo=UTC)
    shown = screen("department", today, today, {"legal": Decimal("1.4")}, 2.0, now)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(shown)
    assert "$3.0000" in console.export_text()  # ten cents in two seconds


@pytest.mark.parametrize(
    ("count", "written"), [(0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (4_560_000, "4.56M"), (10**10, "10G")]
)
def test_counts_are_short(count: int, written: str) -> None:
    assert tokens(count) == written
