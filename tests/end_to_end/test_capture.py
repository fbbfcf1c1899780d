"""The capture matrix: each SDK, current and a major version older, sync and async, in all that can happen to a call.

Every cell is a real call by a real SDK to mock providers, metered in its process, sent to a real collector and priced
there. Each must have the right attempts, model, usage, source of usage and cost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.demo.providers import MockProviders, Reply
from support.capture_calls import CASES, MODELS
from support.collector import RunningCollector, eventually, running_collector
from support.environments import environment
from support.providers import providers_thread
from support.wiretap import attributes, wiretap

pytestmark = [
    # the calls are made once, for all tests of this file
    pytest.mark.timeout(300),  # the first run makes the older SDKs' environment
]

APPLICATION = Path(__file__).parents[1] / "support" / "capture_calls.py"
TEXT = "The liability cap is missing. The notice period is too short. The governing law is left open. " * 6
REPLIES = {
    "gpt-4o": Reply(TEXT, 1200, 300, cache_read_tokens=200),
    "claude-haiku-4-5": Reply(
        TEXT, 1000, 150, cache_read_tokens=400, cache_write_tokens=300, cache_write_1h_tokens=100
    ),
    "gemini-2.5-flash": Reply(TEXT, 1000, 500, reasoning_tokens=100),
}
PRICES = {  # USD per million tokens: input, read from the cache, written to it, for an hour, output
    "gpt-4o": ("2.50", "1.25", "0", "0", "10"),
    "claude-haiku-4-5": ("1", "0.10", "1.25", "2", "5"),
    "gemini-2.5-flash": ("0.30", "0.03", "0", "0", "2.50"),
}
CELLS = [(sdk, mode, case) for sdk in MODELS for mode in ("sync", "async") for case in CASES]


@dataclass(frozen=True)
class Cell:
    """One call: what the application saw, what was sent, what was charged."""

    seen: str
    version: str
    spans: list[dict[str, Any]]
    charges: list[dict[str, Any]]


@pytest.fixture(scope="module", params=["current", "older"])
def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cell]:
    programs = Path(sys.executable).parent if request.param == "current" else environment("older-sdks")
    providers = MockProviders(lambda call: REPLIES[call.model])
    with (
        providers_thread(providers) as providers_url,
        running_collector(tmp_path_factory.mktemp("capture")) as collector,
        wiretap(collector.url) as tap,
    ):
        told = make_the_calls(programs, providers, providers_url, tap.url)
        spans = [attributes(span) for span in eventually(lambda: all_spans(tap.spans))]
        charges = eventually(lambda: all_charges(collector))
    return {
        cell: Cell(
            line["seen"],
            line["version"],
            [span for span in spans if span["p402.session"] == cell],
            [charge for charge in charges if charge["session"] == cell],
        )
        for cell, line in told.items()
    }


def make_the_calls(programs: Path, providers: MockProviders, providers_url: str, url: str) -> dict[str, Any]:
    """Run the application, and have the providers behave as each cell wants it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_", "PYTHON"))}
    clean |= {"P402_COLLECTOR_URL": url, "P402_ORGANISATION": "acme", "P402_DEPARTMENT": "legal"}
    files = (programs / "opentelemetry-instrument", programs / "python", APPLICATION)
    command = [*map(str, files), providers_url]
    told: dict[str, Any] = {}
    with subprocess.Popen(command, env=clean, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stdin
        for line in map(json.loads, running.stdout):
            if "cell" in line:
                told[line["cell"]] = line
                continue
            case = line["next"].rpartition("/")[2]
            providers.chunk_delay_seconds = 0.05 if case == "cancelled" else 0
            if case in {"error", "retry"}:
                providers.fail_next(400 if case == "error" else 503)
            print("go", file=running.stdin, flush=True)
    assert running.returncode == 0
    return told


def all_spans(spans: list[Span]) -> list[Span]:
    """All once there are as many as attempts are made: each cell one, and a retry one more."""
    return spans if len(spans) >= len(CELLS) + len(MODELS) * 2 else []


def all_charges(collector: RunningCollector) -> list[dict[str, Any]]:
    """All once each cell but those that fail has one."""
    charges: list[dict[str, Any]] = collector.get("/v1/charges", organisation="acme", limit=500)["charges"]
    return charges if len(charges) >= len(CELLS) - len(MODELS) * 2 else []


@pytest.mark.parametrize(("sdk", "mode", "case"), CELLS, ids=["/".join(cell) for cell in CELLS])
def test_cell(matrix: dict[str, Cell], sdk: str, mode: str, case: str) -> None:
    cell, model = matrix[f"{sdk}/{mode}/{case}"], MODELS[sdk]
    *failed, last = cell.spans
    assert len(failed) == (1 if case == "retry" else 0)
    assert len({span["p402.request"] for span in cell.spans}) == 1
    assert {span["gen_ai.request.model"] for span in cell.spans} == {model}
    assert {span.get("error.type") for span in failed} <= {"503"}
    if case == "error":
        assert cell.seen == "HTTP 400"
        assert (last["error.type"], cell.charges) == ("400", [])
        assert "gen_ai.usage.input_tokens" not in last
        return
    [charge] = cell.charges
    assert "error.type" not in last
    assert last["gen_ai.response.model"] == charge["response_model"] == model
    assert Decimal(charge["cost_usd"]) == cost(model, last)
    if case == "cancelled":
        check_cancelled(cell, sdk, mode)
        return
    reply = REPLIES[model]
    assert cell.seen == TEXT
    assert (last["p402.usage.source"], charge["usage_source"]) == ("provider", "provider")
    assert usage(last) == {
        "input": reply.input_tokens,
        "read": reply.cache_read_tokens,
        "written": reply.cache_write_tokens,
        "hour": reply.cache_write_1h_tokens,
        "output": reply.output_tokens,
    }
    assert last["p402.stream.end"] == "read"


def check_cancelled(cell: Cell, sdk: str, mode: str) -> None:
    """What was not told is estimated: at least what the application saw, at most what there was to see."""
    [span], [charge] = cell.spans, cell.charges
    assert 0 < len(cell.seen) < len(TEXT)
    assert TEXT.startswith(cell.seen)
    assert (span["p402.usage.source"], charge["usage_source"]) == ("estimated", "estimated")
    assert span["p402.stream.end"] in ({"cancelled"} if mode == "async" else {"closed", "abandoned"})
    told = usage(span)
    assert len(cell.seen) / 8 < told["output"] < REPLIES[MODELS[sdk]].output_tokens
    if sdk == "openai":  # tells nothing before the end
        assert 5 <= told["input"] <= 10
    else:
        assert told["input"] == REPLIES[MODELS[sdk]].input_tokens


def usage(span: dict[str, Any]) -> dict[str, int]:
    return {
        "input": span["gen_ai.usage.input_tokens"],
        "read": span.get("gen_ai.usage.cache_read.input_tokens", 0),
        "written": span.get("gen_ai.usage.cache_write.input_tokens", 0),
        "hour": span.get("p402.usage.cache_write_1h.input_tokens", 0),
        "output": span["gen_ai.usage.output_tokens"],
    }


def cost(model: str, span: dict[str, Any]) -> Decimal:
    """What the price pages say that this usage costs."""
    told, prices = usage(span), [Decimal(price) for price in PRICES[model]]
    plain = told["input"] - told["read"] - told["written"]
    counts = (plain, told["read"], told["written"] - told["hour"], told["hour"], told["output"])
    return sum((count * price for count, price in zip(counts, prices, strict=True)), Decimal(0)) / 1_000_000


def test_each_environment_has_the_versions_it_is_meant_to(
    matrix: dict[str, Cell], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the matrix is printed."""
    versions = {name.split("/")[0]: cell.version for name, cell in matrix.items()}
    major = {name: int(version.split(".")[0]) for name, version in versions.items()}
    wanted = {"openai": 3, "anthropic": 2, "google-genai": 3}
    if "current" in request.node.name:
        assert major == wanted
    else:
        assert all(major[name] < wanted[name] for name in wanted)
    with capsys.disabled():
        sys.stdout.write(f"\n{table(matrix, versions)}\n")


def table(matrix: dict[str, Cell], versions: dict[str, str]) -> str:
    """One line for each cell."""
    lines = [f"{'SDK':22} {'mode':6}{'case':10}{'attempts':>9}{'input':>7}{'output':>7}  {'source':10}{'USD':>11}"]
    for name, cell in matrix.items():
        sdk, mode, case = name.split("/")
        last, charge = cell.spans[-1], (cell.charges or [{"cost_usd": "-", "usage_source": "-"}])[0]
        lines.append(
            f"{sdk + ' ' + versions[sdk]:22} {mode:6}{case:10}{len(cell.spans):>9}"
            f"{last.get('gen_ai.usage.input_tokens', '-'):>7}{last.get('gen_ai.usage.output_tokens', '-'):>7}"
            f"  {charge['usage_source']:10}{charge['cost_usd']:>11}"
        )
    return "\n".join(lines)
