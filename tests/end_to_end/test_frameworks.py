"""Real frameworks, unchanged, under zero-code instrumentation: every call of a two-step agent is metered once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from p402.collector.demo.providers import MockProviders, ProviderCall, Reply, ToolCall
from support.collector import RunningCollector, eventually, running_collector
from support.environments import environment
from support.providers import providers_thread

pytestmark = pytest.mark.timeout(400)  # making the environment takes a minute

AGENTS = Path(__file__).parents[1] / "support" / "framework_agents.py"
ANSWER = "The law of Ireland governs clause 7."


def script(call: ProviderCall) -> Reply:
    """First ask for the tool, then answer from what it said."""
    if "law of Ireland" in json.dumps(call.body):
        return Reply(ANSWER, 300, 20)
    return Reply("", 200, 10, tool=ToolCall("look_up", '{"clause": 7}'))


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with running_collector(tmp_path_factory.mktemp("frameworks")) as collector:
        yield collector


@pytest.mark.parametrize("framework", ["langchain", "pydantic_ai", "openai_agents", "litellm"])
def test_a_two_step_agent_is_metered_once_for_each_call(collector: RunningCollector, framework: str) -> None:
    bin_folder = environment("frameworks")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("P402_", "OTEL_"))}
    variables |= {
        "P402_COLLECTOR_URL": collector.url,
        "P402_ORGANISATION": framework,
        "P402_DEPARTMENT": "legal",
        "P402_EMPLOYEE": "e-1042",
        "P402_SESSION": "s-1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches its price list from the internet
    }
    providers = MockProviders(script)
    with providers_thread(providers) as base_url:
        command = [
            str(bin_folder / "opentelemetry-instrument"),
            str(bin_folder / "python"),
            str(AGENTS),
            framework,
            base_url,
        ]
        ran = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ANSWER in ran.stdout
    charges = eventually(lambda: collector.get("/v1/charges", organisation=framework)["charges"])
    assert [(charge["tokens"]["input"], charge["tokens"]["output"]) for charge in charges] == [(200, 10), (300, 20)]
    assert {charge["cost_usd"] for charge in charges} == {"0.0006", "0.00095"}  # gpt-4o: 2.50 in, 10 out a million
    assert {(charge["department"], charge["employee"], charge["session"]) for charge in charges} == {
        ("legal", "e-1042", "s-1")
    }
    assert len(providers.requests) == 2
    assert not any("baggage" in request.headers for request in providers.requests)
