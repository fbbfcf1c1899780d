"""The most that a call can cost: what is held for it before it is made."""

from __future__ import annotations

from collections.abc import Mapping

from p402.decisions._catalogue import Model
from p402.decisions._question import Ability, Measure, Question
from p402.decisions._rate_card import RateCard

__all__ = ["longest_output", "most_input", "most_that", "output_that_fits"]

_UNKNOWN_CONTEXT = 2_000_000
_UNKNOWN_OUTPUT = 131_072

# Looked up once: reading a member of an enum takes longer than the arithmetic here.
_COST, _TOKENS, _REQUESTS, _CONCURRENCY = Measure.COST, Measure.TOKENS, Measure.REQUESTS, Measure.CONCURRENCY


def most_input(question: Question, model: Model | None) -> int:
    """Give an upper bound of the input's tokens: what the request says, else all that the model can take."""
    if question.input_tokens is not None:
        return question.input_tokens
    return model.context_tokens if model else _UNKNOWN_CONTEXT


def longest_output(question: Question, model: Model | None) -> int:
    """Give an upper bound of one answer's tokens: what the request allows, else all that the model can give."""
    if question.operation == "embeddings" or Ability.EMBEDDING in question.needs:
        return 0
    if question.output_tokens is not None:
        return question.output_tokens
    return model.max_output_tokens if model else _UNKNOWN_OUTPUT


def most_that(question: Question, card: RateCard | None, input_tokens: int, output_tokens: int) -> dict[Measure, int]:
    """Give what a call with at most these tokens (output for each choice) may take of every measure.

    Without a rate card no cost is held: the call will be *unpriced*.
    """
    outputs = output_tokens * question.choices
    holds = {_TOKENS: input_tokens + outputs, _REQUESTS: 1, _CONCURRENCY: 1}
    if card is not None:
        most = card.most_nano_usd(input_tokens, outputs, writes_cache=question.writes_cache, media=question.media)
        holds[_COST] = most
    return holds


def output_that_fits(
    question: Question,
    card: RateCard | None,
    input_tokens: int,
    bounds: tuple[int, int],
    left: Mapping[Measure, int],
) -> int:
    """Find the longest output for each choice, within bounds of which the lower one fits, for which what is left suffices."""
    low, high = bounds
    while low < high:
        middle = (low + high + 1) // 2
        if covers(left, most_that(question, card, input_tokens, middle)):
            low = middle
        else:
            high = middle - 1
    return low


def covers(left: Mapping[Measure, int], holds: Mapping[Measure, int]) -> bool:
    """Tell whether what is left suffices, by every measure that is limited."""
    for measure, amount in left.items():  # noqa: SIM110 - a generator would take as long as all else here
        if holds.get(measure, amount) > amount:
            return False
    return True
