"""What a policy may look like, and what is said of one that cannot be used."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from p402.collector.routing.schema import PolicyInvalid, policy_of_definition, read_policy
from p402.decisions import DEFAULT_POLICY, FailMode, Mode, Rung, Strategy, Tier

README = Path(__file__).parents[3] / "collector" / "README.md"


def test_an_empty_policy_is_as_good_as_none() -> None:
    policy = policy_of_definition(read_policy({}), "none", 0)
    assert policy == DEFAULT_POLICY
    assert read_policy({}).to_json() == {}


def test_the_readme_s_example_can_be_used_and_means_what_it_says() -> None:
    [example] = re.findall(r"```yaml\n(# p402 policies apply.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    policies = {
        name: policy_of_definition(read_policy(written), name, 1)
        for name, written in yaml.safe_load(example)["departments"].items()
    }
    engineering, marketing, legal = policies["engineering"], policies["marketing"], policies["legal"]
    assert (engineering.strategy, engineering.rules[1].then.max_tier) == (Strategy.QUALITY_FIRST, Tier.STANDARD)
    assert (marketing.strategy, marketing.max_tier) == (Strategy.COST_FIRST, Tier.STANDARD)
    assert marketing.at_cap.rungs == (Rung.DOWNGRADE, Rung.CLAMP, Rung.WAIT)
    assert (legal.strategy, legal.min_tier, legal.fail_mode) == (
        Strategy.COMPLIANCE_AWARE,
        Tier.STANDARD,
        FailMode.CLOSED,
    )
    assert legal.permits_provider("azure.ai.openai", "privileged")
    assert not legal.permits_provider("openai", "privileged")
    assert policies["_default"].mode is Mode.OBSERVE


def test_a_policy_is_the_same_after_it_was_stored() -> None:
    written = {
        "min_tier": "economy",
        "rules": [
            {
                "name": "night",
                "when": {"time_from": "22:00", "time_to": "06:00", "weekdays": [1], "task_types": ["chat"]},
                "then": {"model": "gpt-5-nano"},
            }
        ],
    }
    definition = read_policy(written)
    stored = json.dumps(definition.to_json())
    assert policy_of_definition(stored, "legal", 3) == policy_of_definition(definition, "legal", 3)
    assert read_policy(json.loads(stored)) == definition


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ([], "all of it: Input should be a valid dictionary"),
        ({"max_teir": "economy"}, "max_teir: there is no such field"),
        ({"max_tier": "cheap"}, "max_tier: Input should be 'economy', 'standard' or 'premium'"),
        ({"strategy": "best"}, "strategy: Input should be 'quality-first', 'cost-first' or 'compliance-aware'"),
        ({"min_tier": "premium", "max_tier": "economy"}, "min_tier premium is above max_tier economy"),
        ({"denied_models": ["*a*b*c*d*"]}, "denied_models[0]: may have 4 stars at most"),
        ({"rules": [{"name": "r", "then": {}}]}, "rules[0].then: says nothing"),
        ({"rules": [{"name": "r", "then": {"block": "no", "model": "m"}}]}, "rules[0].then: block stands alone"),
        (
            {"rules": [{"name": "r", "when": {"complexity_from": 11}, "then": {"block": "no"}}]},
            "rules[0].when.complexity_from: Input should be less than or equal to 10",
        ),
        (
            {"rules": [{"name": "r", "when": {"complexity_from": 7, "complexity_to": 3}, "then": {"block": "no"}}]},
            "rules[0].when: complexity_from is above complexity_to",
        ),
        (
            {"rules": [{"name": "r", "when": {"time_from": 1080}, "then": {"block": "no"}}]},
            'rules[0].when.time_from: must be a time of day such as "18:00"',
        ),
        (
            {"rules": [{"name": "r", "when": {"time_zone": "Mars"}, "then": {"block": "no"}}]},
            "rules[0].when.time_zone: must be the name of a time zone such as Europe/Berlin",
        ),
        (
            {"rules": [{"name": "r", "when": {"weekdays": [0]}, "then": {"block": "no"}}]},
            "rules[0].when.weekdays[0]: Input should be greater than or equal to 1",
        ),
        (
            {"rules": [{"name": "r", "then": {"block": "a"}}, {"name": "r", "then": {"block": "b"}}]},
            "two rules have the name 'r'",
        ),
        ({"at_cap": {"rungs": ["wait", "wait"]}}, "at_cap: rungs names something twice"),
        ({"at_cap": {"rungs": ["beg"]}}, "at_cap.rungs[0]: Input should be 'clamp', 'downgrade' or 'wait'"),
    ],
)
def test_what_is_wrong_is_named_by_its_path_with_what_is_allowed(written: Any, told: str) -> None:
    with pytest.raises(PolicyInvalid) as refusal:
        read_policy(written)
    assert told in str(refusal.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(PolicyInvalid) as refusal:
        read_policy({"mode": "maybe", "fail_mode": "ajar"})
    assert "mode: " in str(refusal.value)
    assert "fail_mode: " in str(refusal.value)
