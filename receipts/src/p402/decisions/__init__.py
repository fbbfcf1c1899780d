"""The rules that whoever decides about a call must apply alike: the collector, and a service that holds a lease (pure).

* *question*: a call that is about to be made; *decision*: its verdict, with a code for machines and a rationale for people;
* *policy*: a department's rules about models; *catalogue*: models with their tiers and abilities;
* *funds*: what the budgets on the call's path have left; *rate card*: the prices of a model.

Only the standard library and the vocabulary are imported here, so that a service's install stays light.
"""

from p402.decisions._catalogue import Catalogue, Model, Tier
from p402.decisions._decide import Funds, decide
from p402.decisions._policy import (
    DEFAULT_POLICY,
    Action,
    AtCap,
    Condition,
    FailMode,
    Mode,
    Policy,
    Rule,
    Rung,
    Strategy,
)
from p402.decisions._policy_wire import policy_from_wire, policy_to_wire
from p402.decisions._question import Ability, Code, Decision, Measure, Question, Verdict
from p402.decisions._rate_card import KINDS, LongPrompt, Part, RateCard, UnpriceableUsage, Unpriced, Weights
from p402.decisions._rules import CardFor, Rules

__all__ = [
    "DEFAULT_POLICY",
    "KINDS",
    "Ability",
    "Action",
    "AtCap",
    "CardFor",
    "Catalogue",
    "Code",
    "Condition",
    "Decision",
    "FailMode",
    "Funds",
    "LongPrompt",
    "Measure",
    "Mode",
    "Model",
    "Part",
    "Policy",
    "Question",
    "RateCard",
    "Rule",
    "Rules",
    "Rung",
    "Strategy",
    "Tier",
    "UnpriceableUsage",
    "Unpriced",
    "Verdict",
    "Weights",
    "decide",
    "policy_from_wire",
    "policy_to_wire",
]
