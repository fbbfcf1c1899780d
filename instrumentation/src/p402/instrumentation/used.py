"""What a call used: as the provider told, else as we count it, if it may have been billed at all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from p402.instrumentation.estimate import count_tokens, estimate
from p402.instrumentation.media_types import STREAMS, is_json
from p402.instrumentation.providers import Answer, RequestFacts
from p402.instrumentation.unseen import warn_of_untold
from p402.vocabulary import Usage, UsageSource, attributes

__all__ = ["Response", "StreamEnd", "usage_attributes", "used"]

_SUCCESS = range(200, 300)


class StreamEnd(StrEnum):
    """How a response's body ended."""

    READ = "read"
    CLOSED = "closed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


@dataclass(slots=True)
class Response:
    """What is known of a response beside the answer in it."""

    status: int | None = None
    """None until its headers have come."""
    kind: str = ""
    """Its media type."""
    readable: bool = True
    """Whether we can read its body; else an estimate of it would be nonsense."""
    is_read: bool = False
    """Whether a document of it, or an event of its stream, has been read."""
    is_torn: bool = False
    """Whether it is the beginning of a document only."""


def used(
    facts: RequestFacts, body: bytes, answer: Answer, response: Response, end: StreamEnd
) -> tuple[Usage | None, UsageSource]:
    """Take the provider's usage; estimate what a stream that ended early, or a silent server, did not tell."""
    usage = answer.usage
    if usage is not None and answer.usage_is_final:
        return usage, UsageSource.PROVIDER
    if usage is None and facts.often_untold and response.is_read:
        warn_of_untold(facts.often_untold)
    if not response.readable or not facts.countable or answer.deferred:
        return usage, UsageSource.PROVIDER
    if usage is not None:
        output_tokens = max(usage.output_tokens, count_tokens("".join(answer.text), facts.model))
        return usage + Usage(output_tokens=output_tokens - usage.output_tokens), UsageSource.ESTIMATED
    if not _may_be_billed(facts, answer, response, end):
        return None, UsageSource.PROVIDER
    return estimate(body, "".join(answer.text), facts.model), UsageSource.ESTIMATED


def _may_be_billed(facts: RequestFacts, answer: Answer, response: Response, end: StreamEnd) -> bool:
    """Tell whether there was an answer: its beginning has been read, or it was to come when the response was cut.

    A page that asks to sign in, a redirection and an error are none, whatever their status is.
    """
    if response.status not in _SUCCESS or (answer.error is not None and not answer.pieces):
        return False
    if answer.has_begun or response.is_read:
        return answer.has_begun
    if response.kind in STREAMS:
        return facts.stream
    return is_json(response.kind) and (response.is_torn or end is not StreamEnd.READ)


def usage_attributes(usage: Usage) -> dict[str, int]:
    """Give the totals always, the details where there are any."""
    known = {
        attributes.GEN_AI_USAGE_INPUT_TOKENS: usage.input_tokens,
        attributes.GEN_AI_USAGE_OUTPUT_TOKENS: usage.output_tokens,
    }
    known.update((name, number) for name, number in zip(_DETAILS, _details(usage), strict=True) if number)
    return known


_DETAILS = {
    attributes.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: "cache_read_input_tokens",
    attributes.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: "cache_write_input_tokens",
    attributes.P402_USAGE_CACHE_WRITE_1H_INPUT_TOKENS: "cache_write_1h_input_tokens",
    attributes.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: "reasoning_output_tokens",
    attributes.GEN_AI_USAGE_AUDIO_INPUT_TOKENS: "audio_input_tokens",
    attributes.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS: "audio_output_tokens",
    attributes.GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS: "audio_cache_read_input_tokens",
    attributes.GEN_AI_USAGE_IMAGE_INPUT_TOKENS: "image_input_tokens",
    attributes.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS: "image_output_tokens",
}
_details = attrgetter(*_DETAILS.values())
