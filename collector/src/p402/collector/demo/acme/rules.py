"""What holds at Acme: policies of departments and budgets, written as people write them for the API (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from p402.collector.budgets.definition import BudgetDefinition, read_definition
from p402.collector.demo.acme.work import working_days
from p402.collector.routing.schema import PolicyDefinition, read_policy

__all__ = ["SESSION_CAP_PROJECT", "budgets", "policies"]

SESSION_CAP_PROJECT = "agent-lab"
"""Where each session has a cap of its own."""

_ENGINEERING_A_DAY = 62.5
"""USD that finance plans for each working day of Engineering. It works out a little above what Engineering takes."""
_MONTHLY: Mapping[str, tuple[str, int, str]] = {
    "acme-month": ("organisation", 3_500, "cfo@acme.example"),
    "marketing-month": ("department", 450, "e-2001"),
    "legal-month": ("department", 450, "e-1041"),
    "finance-month": ("department", 350, "e-6001"),
    "support-month": ("department", 40, "e-5001"),
    "sales-month": ("department", 200, "e-4001"),
    "research-month": ("department", 200, "e-7001"),
    "people-month": ("department", 40, "e-8001"),
}

_MODELS = ["claude-*-4-5", "gpt-4o*", "gpt-4.1-mini", "gemini-2.5-*", "text-embedding-3-*"]
"""That Acme has contracts for."""

_POLICIES: Mapping[str, Mapping[str, Any]] = {
    # Quality first; premium models only for what is complex. It observes for now: it says what it would do.
    "engineering": {
        "mode": "observe",
        "strategy": "quality-first",
        "allowed_models": _MODELS,
        "rules": [
            {"name": "simple-work", "when": {"complexity_to": 4}, "then": {"max_tier": "economy"}},
            {"name": "ordinary-work", "when": {"complexity_to": 6}, "then": {"max_tier": "standard"}},
        ],
        "at_cap": {"rungs": ["downgrade", "wait"]},
    },
    "marketing": {
        "strategy": "cost-first",
        "max_tier": "standard",
        "allowed_models": _MODELS,
        "at_cap": {"rungs": ["downgrade", "clamp"]},
    },
    "legal": {
        "strategy": "compliance-aware",
        "min_tier": "standard",
        "allowed_models": _MODELS,
        "data_classes": {"confidential": ["anthropic", "openai"]},
    },
    "people": {
        "strategy": "compliance-aware",
        "allowed_models": _MODELS,
        "data_classes": {"personal": ["anthropic", "openai"]},
    },
}


def policies() -> Mapping[str, PolicyDefinition]:
    """Give the policies of departments."""
    return {department: read_policy(document) for department, document in _POLICIES.items()}


def budgets(day: date) -> Sequence[BudgetDefinition]:
    """Give the budgets that are in force on a day; Engineering's is planned anew for each month."""
    month = day.replace(day=1)
    next_month = (month + timedelta(days=31)).replace(day=1)
    documents: list[dict[str, Any]] = [
        {
            "name": "engineering-month",
            "level": "department",
            "node": "engineering",
            "cap": str(_ENGINEERING_A_DAY * working_days(month, next_month)),
            "owner": "e-3101",
        },
        {
            "name": "northwind-migration",
            "level": "project",
            "node": "northwind-migration",
            "cap": "330",
            "period": "rolling",
            "length": "30d",
            "owner": "e-3102",
        },
        {"name": "spring-campaign", "level": "project", "node": "spring-campaign", "cap": "300", "owner": "e-2002"},
        {
            "name": "agent-lab-session",
            "level": "session",
            "within": {"project": SESSION_CAP_PROJECT},
            "cap": "2",
            "period": "total",
            "hard": True,
            "owner": "e-7001",
        },
        {"name": "call-ceiling", "level": "request", "cap": "5"},
    ]
    for name, (level, cap, owner) in _MONTHLY.items():
        node = name.removesuffix("-month")
        documents.append({"name": name, "level": level, "node": node, "cap": str(cap), "owner": owner})
    return [read_definition(document) for document in documents]
