"""Events of one stream that differ in nothing but text, so that not each of them has to be parsed.

Of a stream's hundreds of events, most have one shape: the same bytes but for the piece of text that the model has just
made, and for a counter, a time or some padding that nobody reads. Where reading one event did nothing but add that text,
reading another of its shape can do nothing else. Its text is then kept as it came, and read only if it is asked for.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

__all__ = ["Shapes", "text_in_json"]

_TEXTS = (
    b"arguments", b"content", b"delta", b"generation", b"outputText", b"partial_json", b"reasoning",
    b"reasoning_content", b"refusal", b"response", b"text", b"thinking", b"tool_plan",
)  # fmt: skip
"""Fields whose strings are text wherever they are read."""
_UNREAD = (b"created", b"created_at", b"obfuscation", b"p", b"sequence_number")
"""Fields that no dialect reads."""

_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_PLAIN = re.compile(rb"[ !#-\[\]-~]*+")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)")
_FIELD = re.compile(
    rb'(?<!\\)"(?:(?:%s)"\s*+:\s*+"(?P<text>%s)"|(?:%s)"\s*+:\s*+(?:"(?P<plain>%s)"|(?P<number>%s)(?=[\s,}])))'
    % (b"|".join(_TEXTS), _STRING.pattern, b"|".join(_UNREAD), _PLAIN.pattern, _NUMBER.pattern),
    re.DOTALL,
)
_KINDS = {"text": _STRING, "plain": _PLAIN, "number": _NUMBER}
_MOST_SHAPES = 4
_MOST_BYTES = 4096
_MOST_IN_VAIN = 16


@dataclass(frozen=True, slots=True)
class _Shape:
    start: bytes
    """The bytes before what may differ first."""
    rest: tuple[tuple[re.Pattern[bytes], bool, bytes], ...]
    """What may differ, whether it is the text, and the bytes that come then."""

    def text_in(self, event: bytes) -> bytes | None:
        if not event.startswith(self.start):
            return None
        at, text = len(self.start), b""
        for pattern, is_text, then in self.rest:
            found = pattern.match(event, at)
            if found is None or not event.startswith(then, found.end()):
                return None
            if is_text:
                text = found[0]
            at = found.end() + len(then)
        return text if at == len(event) else None


class Shapes:
    """The shapes of events in one stream that only add text."""

    def __init__(self) -> None:
        self._known: list[_Shape] = []
        self._in_vain = 0

    @property
    def worth_learning(self) -> bool:
        """Whether shapes come again in this stream, as far as can be told."""
        return self._in_vain < _MOST_IN_VAIN

    def text_in(self, event: bytes) -> bytes | None:
        """Give the text in an event of a known shape, as JSON writes it between quotes; None if it has to be parsed."""
        for shape in self._known:
            if (text := shape.text_in(event)) is not None:
                self._in_vain = 0
                return text
        return None

    def learn(self, event: bytes, added: list[str]) -> None:
        """Note the shape of an event, of which it is known that it adds these texts and does nothing else."""
        self._in_vain += 1
        if len(event) > _MOST_BYTES:
            return
        fields = [field for field in _FIELD.finditer(event) if field.lastgroup != "text" or field["text"]]
        texts = [text_in_json(field["text"]) for field in fields if field.lastgroup == "text"]
        if len(texts) > 1 or texts != [text for text in added if text]:
            return  # which string is the text cannot be told
        spans = [(kind, *field.span(kind)) for field in fields if (kind := field.lastgroup) is not None]
        ends = [*(start for _, start, _ in spans[1:]), len(event)]
        rest = [
            (_KINDS[kind], kind == "text", event[end:then]) for (kind, _, end), then in zip(spans, ends, strict=False)
        ]
        start = event[: spans[0][1]] if spans else event
        self._known.insert(0, _Shape(start, tuple(rest)))
        del self._known[_MOST_SHAPES:]

    def forget(self) -> None:
        """Forget all: an event has changed what is known of the answer, so the next of each shape is parsed again."""
        self._known.clear()


def text_in_json(written: bytes) -> str | None:
    """Read what JSON writes between quotes; None if it is no JSON."""
    try:
        text: str = json.loads(f'"{written.decode(errors="surrogatepass")}"')
    except ValueError:
        return None
    return text
