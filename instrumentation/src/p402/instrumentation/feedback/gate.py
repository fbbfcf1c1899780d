"""The gate that every call of a model passes: it is described to the guard, and what comes back is applied to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

from p402.decisions import Question
from p402.instrumentation.estimate import exact_counter
from p402.instrumentation.feedback.admission import Admission, Pending
from p402.instrumentation.feedback.apply import changed_body, changed_path
from p402.instrumentation.feedback.bounds import exact_text
from p402.instrumentation.feedback.client import Guard
from p402.instrumentation.feedback.question import About, is_standard, question_of, tier_of
from p402.instrumentation.feedback.refusal import Refusal, refusal
from p402.instrumentation.providers import RequestFacts, Route
from p402.vocabulary import Attribution, Usage, attributes

__all__ = ["Asked", "Changes", "Gate", "changes", "settle"]

_TASK_TYPE, _DATA_CLASS = attributes.P402_TASK_TYPE, attributes.P402_DATA_CLASS
_LEVELS = tuple(level.attribute for level, _ in Attribution())
_LONGEST_COUNTED = 256 * 1024
"""Bytes of a request whose tokens are counted where little is left: some 20 ms, on a background thread."""
_KNOWN_VOCABULARIES = ("gpt-3.5", "gpt-4", "gpt-5", "chatgpt-", "o1", "o3", "o4-", "text-embedding-")


class Asked(NamedTuple):
    """A call as it is about to be made."""

    route: Route
    facts: RequestFacts
    path: str
    body: Mapping[str, Any]
    raw: bytes
    said: Mapping[str, str]
    """Attribution, and what the call is for, as attributes."""
    changeable: bool
    """Whether another body and path can be sent."""
    complexity: int | None = None


class Changes(NamedTuple):
    """What is sent instead. None where nothing changes."""

    facts: RequestFacts
    """Of the call that is made."""
    body: Mapping[str, Any] | None = None
    path: str | None = None
    refusal: Refusal | None = None
    """What is answered, if nothing is sent at all."""


class Gate:
    """Asks the guard about calls."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def admit(self, asked: Asked) -> Admission | Pending | None:
        """Decide about a call, or promise to; None if nothing limits it and nobody has a say in it."""
        if self._guard.is_free(asked.said):
            return None
        said = asked.said
        about = About(
            provider=asked.route.provider,
            path=asked.path,
            attribution=_attribution(*map(said.get, _LEVELS)),
            changeable=asked.changeable,
            task_type=said.get(_TASK_TYPE),
            complexity=asked.complexity,
            data_class=said.get(_DATA_CLASS),
        )
        question = question_of(about, asked.facts, asked.body, asked.raw)
        return self._guard.decide(question, partial(_tighten, asked))


@lru_cache(maxsize=1024)
def _attribution(*ids: str | None) -> Attribution:
    """Say whom a call is for; a process makes most calls for few."""
    return Attribution.from_attributes(dict(zip(_LEVELS, ids, strict=True)))


def changes(asked: Asked, admission: Admission) -> Changes:
    """Say what a decision changes about a call."""
    decision, facts = admission.decision, asked.facts
    if not decision.goes_ahead:
        return Changes(facts, refusal=refusal(asked.route.dialect.PROVIDER, decision))
    if decision.model == facts.model and decision.output_tokens is None:
        return Changes(facts)
    limit = decision.output_tokens or facts.max_tokens
    return Changes(
        replace(facts, model=decision.model, max_tokens=limit),
        body=changed_body(asked.route, asked.path, asked.body, facts.model, decision),
        path=changed_path(asked.path, facts.model, decision),
    )


def settle(asked: Asked, admission: Admission, usage: Usage | None, served: str | None) -> None:
    """Account for a call that has ended; one that was served in another tier than asked for costs something else."""
    admission.finish(usage, as_priced=is_standard(served) or served == tier_of(asked.body))


def _tighten(asked: Asked, question: Question) -> Question | None:
    """Count the input of a request to OpenAI with its own tokenizer; None while that is not loaded."""
    if (
        question.provider != "openai"
        or question.input_tokens is None
        or not asked.facts.model.startswith(_KNOWN_VOCABULARIES)
        or len(asked.raw) > _LONGEST_COUNTED
    ):
        return question
    count = exact_counter(asked.facts.model)
    if count is None:
        return None
    tokens = exact_text(asked.body, asked.raw, count)
    if tokens is None or tokens >= question.input_tokens:
        return question
    return replace(question, input_tokens=tokens)
