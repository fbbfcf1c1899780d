"""How demanding a request looks by its shape: a whole number from 0 (trivial) to 10. Pure, deterministic, and cheap.

It adds points for what a request has (the README has the table) and is no judgement of what it means: policies use it to
keep simple work on simple models, and it is the same for the same request, everywhere and always.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from p402.instrumentation.messages import Ends
from p402.instrumentation.task_type import is_structured

__all__ = ["MOST", "Shape", "complexity", "score", "shape_of"]

MOST = 10
"""The highest complexity."""

_SEEN = 500
"""Characters that signs of code, of maths and of lists are looked for in, at the beginning of a text."""
_MOST_ITEMS = 32
_TECHNICAL = {
    "`": ("```",),
    "#": ("#include",),
    "<": ("</",),
    ";": ("();",),
    "S": ("SELECT ",),
    "T": ("Traceback",),
    "\\": ("\\frac", "\\sum", "\\int"),
    "$": ("$$",),
    "": ("∑", "∫", "√", "def ", "function ", "equation", "theorem"),
}
"""Signs of code and maths, by a letter without which none of them is there: one letter is found ten times as fast."""
_TEXT_KINDS = frozenset({"text", "input_text", "output_text", "tool_use", "tool_result", "thinking", "refusal"})
_MEDIA_FIELDS = ("inlineData", "inline_data", "fileData", "file_data", "image", "document", "video", "audio")
_REASONING_FIELDS = frozenset(
    {"reasoning_effort", "reasoning", "thinking", "generationConfig", "generation_config", "think"}
)
_SLIGHT_EFFORTS = frozenset({"low", "LOW"})
_NO_EFFORTS = frozenset({"none", "minimal", "off", "disabled", "MINIMAL"})


class Shape(NamedTuple):
    """What counts of a request. More of any of it never makes the complexity less."""

    instructions: int = 0
    """Characters of the instructions, as far as they are looked at."""
    size: int = 0
    """Bytes of the request."""
    turns: int = 0
    """Messages, without the system's."""
    tools: int = 0
    structured: bool = False
    """Whether the answer must have a given form."""
    reasoning: int = 0
    """0: not asked for, 1: a little, 2: as usual or more."""
    technical: bool = False
    """Whether there is code or maths."""
    media: bool = False
    """Whether there are images, documents or sound."""
    output: int = 0
    """The most tokens that are asked for; 0 if the request does not say."""
    steps: bool = False
    """Whether the instructions are a list of three things or more."""


def complexity(operation: str, body: Mapping[str, Any], ends: Ends, size: int, output: int | None) -> int:
    """Tell how demanding a request looks.

    Args:
        operation: ``gen_ai.operation.name``.
        body: as parsed.
        ends: what was read of its texts.
        size: bytes of the body.
        output: the most tokens that are asked for; None if it does not say.
    """
    return 0 if operation == "embeddings" else score(shape_of(body, ends, size, output))


def score(shape: Shape) -> int:
    """Add up the points."""
    points = (
        (shape.instructions >= 300)  # noqa: PLR2004 - this is the table of thresholds
        + (shape.instructions >= 1_500)  # noqa: PLR2004
        + (shape.size >= 8_000)  # noqa: PLR2004
        + (shape.size >= 64_000)  # noqa: PLR2004
        + (shape.turns >= 6)  # noqa: PLR2004
        + (shape.tools >= 1)
        + (shape.tools >= 5)  # noqa: PLR2004
        + shape.structured
        + min(max(shape.reasoning, 0), 2)
        + shape.technical
        + shape.media
        + (shape.output >= 8_000)  # noqa: PLR2004
        + shape.steps
    )
    return min(points, MOST)


def shape_of(body: Mapping[str, Any], ends: Ends, size: int, output: int | None) -> Shape:
    """Read what counts; only as much as is bounded is looked at."""
    system, opening = ends.system[:_SEEN], ends.opening[:_SEEN]
    return Shape(
        instructions=len(ends.system),
        size=size,
        turns=ends.messages,
        tools=_tools(body),
        structured=is_structured(body),
        reasoning=_reasoning(body),
        technical=_is_technical(opening) or (bool(system) and _is_technical(system)),
        media=_has_media(body),
        output=output or 0,
        steps=_is_list(system or opening),
    )


def _is_technical(text: str) -> bool:
    for letter, signs in _TECHNICAL.items():
        if letter in text:
            for sign in signs:
                if sign in text:
                    return True
    return False


def _is_list(text: str) -> bool:
    if "1." in text and "2." in text and "3." in text:
        return True
    return "\n" in text and text.count("\n- ") + text.count("\n* ") >= 3  # noqa: PLR2004 - things


def _tools(body: Mapping[str, Any]) -> int:
    tools = body.get("tools")
    if tools is None and isinstance(config := body.get("toolConfig"), dict):  # Bedrock's
        tools = config.get("tools")
    if not isinstance(tools, list):
        return 0
    number = 0
    for tool in tools[:_MOST_ITEMS]:
        declared = None
        if isinstance(tool, dict):  # Gemini's
            declared = _either(tool, "functionDeclarations", "function_declarations")
        number += len(declared) if isinstance(declared, list) else 1
    return number


def _reasoning(body: Mapping[str, Any]) -> int:
    """How much reasoning is asked for: OpenAI's effort, Anthropic's thinking, Gemini's budget, Ollama's switch."""
    if _REASONING_FIELDS.isdisjoint(body):
        return 0
    effort = body.get("reasoning_effort")
    if isinstance(asked := body.get("reasoning"), dict):
        effort = asked.get("effort", "medium")
    if isinstance(asked := body.get("thinking"), dict):
        effort = asked.get("type")
    if isinstance(config := _either(body, "generationConfig", "generation_config"), dict) and isinstance(
        asked := _either(config, "thinkingConfig", "thinking_config"), dict
    ):
        budget, level = (_either(asked, f"thinking{name}", f"thinking_{name.lower()}") for name in ("Budget", "Level"))
        effort = level or ("none" if budget == 0 else "medium")
    if effort is None:
        effort = "medium" if body.get("think") is True else "none"
    if not isinstance(effort, str) or effort in _NO_EFFORTS:
        return 0
    return 1 if effort in _SLIGHT_EFFORTS else 2


def _either(found: Mapping[str, Any], name: str, spelled: str) -> Any:
    """Give a field of Gemini's, which its SDK spells in either way."""
    value = found.get(name)
    return found.get(spelled) if value is None else value


def _has_media(body: Mapping[str, Any]) -> bool:
    """Tell whether the last message has parts that are no text."""
    messages = body.get("messages") or body.get("contents") or body.get("input")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict):
        return False
    parts = last.get("content", last.get("parts"))
    for part in islice(parts, _MOST_ITEMS) if isinstance(parts, list) else ():
        if isinstance(part, dict):
            kind = part.get("type")
            if isinstance(kind, str) and kind not in _TEXT_KINDS:
                return True
            if kind is None and any(name in part for name in _MEDIA_FIELDS):
                return True
    return False
