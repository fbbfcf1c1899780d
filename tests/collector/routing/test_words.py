"""A policy says in words what it says."""

from __future__ import annotations

from p402.collector.routing.schema import read_policy
from p402.collector.routing.words import policy_in_words


def test_a_policy_that_says_nothing_says_what_happens_all_the_same() -> None:
    assert policy_in_words(read_policy({})) == [
        "Where the model that is asked for may not be used or paid, the best one that suits takes its place.",
        "When the money left does not cover a call: wait up to 2 s for what others hold, else refuse it.",
    ]


def test_every_part_of_a_policy_has_its_sentence() -> None:
    said = policy_in_words(
        read_policy(
            {
                "mode": "observe",
                "strategy": "compliance-aware",
                "min_tier": "economy",
                "max_tier": "standard",
                "allowed_models": ["claude-*"],
                "denied_providers": ["openai"],
                "data_classes": {"secret": ["anthropic"], "sealed": []},
                "rules": [
                    {
                        "name": "night",
                        "when": {"time_from": "22:00", "weekdays": [6, 7]},
                        "then": {"block": "nobody works"},
                    },
                    {
                        "name": "hard",
                        "when": {"task_types": ["code_review"], "complexity_from": 7},
                        "then": {"model": "claude-opus-4-5", "min_tier": "premium"},
                    },
                ],
                "at_cap": {"rungs": ["clamp", "downgrade"], "least_output_tokens": 100},
                "fail_mode": "closed",
            }
        )
    )
    assert said == [
        "It is only observed: what it would do is noted with each call, and nothing is changed or refused.",
        (
            "Where the model that is asked for may not be used or paid, the best one of a provider that may see the data takes its"
            " place."
        ),
        "Models are of the tier economy to standard.",
        "Only these models may be used: claude-*.",
        "These providers may not be used: openai.",
        "Data of the class secret may be seen by anthropic only.",
        "Data of the class sealed may be seen by no provider.",
        "Rule 1, night: calls on Saturday, Sunday from 22:00 to 24:00 (UTC), are refused: nobody works.",
        (
            "Rule 2, hard: calls for code_review with a complexity of 7 to 10, use claude-opus-4-5 and have a model of the tier"
            " premium at least."
        ),
        (
            "When the money left does not cover a call: shorten the answer, not below 100 tokens, else take a cheaper model, else"
            " refuse it."
        ),
        "While the collector cannot be asked, calls are refused.",
    ]
