"""What people at Acme ask models for: which models they take, how much they ask, and how good the answers are.

The quality of a model at a task is what an evaluator finds on average, from 0 to 1. Some cheaper models do as well as the
ones that people take, others do not; nothing here knows of prices. Savings are for the product to find.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PROVIDERS", "TASKS", "Choice", "Task"]

PROVIDERS: Mapping[str, str] = {
    "claude-opus-4-5": "anthropic",
    "claude-sonnet-4-5": "anthropic",
    "claude-haiku-4-5": "anthropic",
    "gpt-4o": "openai",
    "gpt-4o-mini": "openai",
    "gpt-4.1-mini": "openai",
    "gemini-2.5-pro": "gcp.gemini",
    "gemini-2.5-flash": "gcp.gemini",
    "text-embedding-3-small": "openai",
}
"""``gen_ai.provider.name`` by model."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that people take for a task."""

    model: str
    share: int
    """How often, in per cent."""
    quality: float
    """Mean of what an evaluator finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A kind of work."""

    id: str
    choices: tuple[Choice, ...]
    input_tokens: int
    """Median of a call."""
    output_tokens: int
    calls: tuple[int, int]
    """From how many to how many a session has."""
    cached: float = 0.0
    """Which part of the input the provider has in its cache after a session's first call."""
    reasoning: float = 0.0
    """Which part of the output is reasoning, of models that reason."""
    complexity: tuple[int, int]
    evaluated: float
    """Which part of the answers is evaluated."""
    pause_seconds: int = 90
    """Median time between two calls."""


_ALL = (
    Task(
        id="code_completion",
        choices=(
            Choice("claude-opus-4-5", 62, 0.921),
            Choice("claude-sonnet-4-5", 12, 0.922),
            Choice("claude-haiku-4-5", 26, 0.919),
        ),
        input_tokens=18_000,
        output_tokens=1_450,
        calls=(4, 7),
        cached=0.5,
        complexity=(1, 4),
        evaluated=0.15,
        pause_seconds=60,
    ),
    Task(
        id="debugging",
        choices=(
            Choice("claude-opus-4-5", 50, 0.884),
            Choice("claude-sonnet-4-5", 38, 0.882),
            Choice("claude-haiku-4-5", 12, 0.806),
        ),
        input_tokens=34_000,
        output_tokens=2_100,
        calls=(3, 5),
        cached=0.6,
        complexity=(4, 7),
        evaluated=0.3,
    ),
    Task(
        id="complex_code_review",
        choices=(
            Choice("claude-opus-4-5", 72, 0.902),
            Choice("claude-sonnet-4-5", 18, 0.846),
            Choice("claude-haiku-4-5", 10, 0.731),
        ),
        input_tokens=38_000,
        output_tokens=4_400,
        calls=(1, 3),
        complexity=(7, 9),
        evaluated=0.7,
        pause_seconds=300,
    ),
    Task(
        id="contract_analysis",
        choices=(
            Choice("claude-opus-4-5", 76, 0.931),
            Choice("claude-sonnet-4-5", 14, 0.871),
            Choice("gpt-4o", 10, 0.812),
        ),
        input_tokens=26_000,
        output_tokens=4_200,
        calls=(2, 5),
        complexity=(6, 8),
        evaluated=0.6,
        pause_seconds=240,
    ),
    Task(
        id="content_generation",
        choices=(
            Choice("gpt-4o", 72, 0.868),
            Choice("gpt-4o-mini", 17, 0.866),
            Choice("claude-sonnet-4-5", 8, 0.881),
            Choice("claude-opus-4-5", 3, 0.884),
        ),
        input_tokens=14_000,
        output_tokens=3_600,
        calls=(4, 10),
        complexity=(2, 5),
        evaluated=0.3,
        pause_seconds=120,
    ),
    Task(
        id="financial_qa",
        choices=(Choice("gemini-2.5-pro", 74, 0.911), Choice("gemini-2.5-flash", 26, 0.909)),
        input_tokens=64_000,
        output_tokens=5_200,
        calls=(3, 6),
        cached=0.3,
        reasoning=0.55,
        complexity=(4, 7),
        evaluated=0.5,
        pause_seconds=150,
    ),
    Task(
        id="email_drafting",
        choices=(
            Choice("gpt-4o", 56, 0.874),
            Choice("claude-opus-4-5", 20, 0.878),
            Choice("gpt-4o-mini", 24, 0.873),
        ),
        input_tokens=7_200,
        output_tokens=820,
        calls=(2, 6),
        complexity=(1, 3),
        evaluated=0.3,
    ),
    Task(
        id="summarisation",
        choices=(
            Choice("gpt-4o", 48, 0.889),
            Choice("gemini-2.5-flash", 34, 0.891),
            Choice("claude-opus-4-5", 18, 0.893),
        ),
        input_tokens=26_000,
        output_tokens=950,
        calls=(1, 3),
        complexity=(2, 4),
        evaluated=0.4,
    ),
    Task(
        id="research_analysis",
        choices=(Choice("gemini-2.5-pro", 76, 0.897), Choice("gemini-2.5-flash", 24, 0.829)),
        input_tokens=52_000,
        output_tokens=5_200,
        calls=(2, 5),
        reasoning=0.6,
        complexity=(6, 9),
        evaluated=0.5,
        pause_seconds=260,
    ),
    Task(
        id="support_reply",
        choices=(Choice("gpt-4o-mini", 70, 0.858), Choice("claude-haiku-4-5", 30, 0.866)),
        input_tokens=6_400,
        output_tokens=420,
        calls=(3, 7),
        complexity=(1, 3),
        evaluated=0.1,
        pause_seconds=80,
    ),
    Task(
        id="classification",
        choices=(Choice("gpt-4o-mini", 100, 0.934),),
        input_tokens=1_100,
        output_tokens=40,
        calls=(4, 12),
        complexity=(1, 2),
        evaluated=0.1,
        pause_seconds=15,
    ),
    Task(
        id="extraction",
        choices=(Choice("gpt-4o", 64, 0.917), Choice("gpt-4.1-mini", 24, 0.915), Choice("gpt-4o-mini", 12, 0.873)),
        input_tokens=16_000,
        output_tokens=1_300,
        calls=(1, 4),
        complexity=(3, 5),
        evaluated=0.5,
    ),
    Task(
        id="translation",
        choices=(Choice("claude-haiku-4-5", 60, 0.882), Choice("gpt-4o", 40, 0.884)),
        input_tokens=2_600,
        output_tokens=2_700,
        calls=(1, 4),
        complexity=(2, 4),
        evaluated=0.3,
    ),
    Task(
        id="embedding",
        choices=(Choice("text-embedding-3-small", 100, 0.0),),
        input_tokens=24_000,
        output_tokens=0,
        calls=(1, 1),
        complexity=(0, 0),
        evaluated=0.0,
        pause_seconds=10,
    ),
)
TASKS: Mapping[str, Task] = {task.id: task for task in _ALL}
