"""Reads the messages out of a request, in whatever dialect it is written. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

__all__ = ["Ends", "Message", "ends_of", "input_messages", "prompt_in"]

_SYSTEM_FIELDS = ("system", "instructions", "systemInstruction", "system_instruction", "preamble")
_SYSTEM_FIELDS_SET = frozenset(_SYSTEM_FIELDS)
_MESSAGE_FIELDS = ("messages", "input", "contents", "prompt", "message", "texts")
_MOST_PARTS = 32


@dataclass(frozen=True, slots=True)
class Message:
    """Who says what."""

    role: str
    parts: tuple[tuple[str, str], ...]
    """Each the kind of part (``text``, ``image_url``, ``tool_use``, …) and its text, empty for media."""


def input_messages(body: Any) -> list[Message]:
    """Give all messages of a request, what the system says first."""
    if not isinstance(body, dict):
        return []
    messages = [Message("system", tuple(_parts(body[name]))) for name in _SYSTEM_FIELDS if body.get(name)]
    for name in _MESSAGE_FIELDS:
        content = body.get(name)
        if isinstance(content, str):
            messages.append(Message("user", (("text", content),)))
        elif isinstance(content, list):
            messages += [_message(item) for item in content]
    return messages


def prompt_in(body: Any) -> str:
    """Join everything that is said, each message after the name of its role."""
    return "\n".join(f"{message.role}: {text}" for message in input_messages(body) for _, text in message.parts)


class Ends(NamedTuple):
    """The few parts of a request that show what it is for, each bounded."""

    system: str
    """What the system says."""
    opening: str
    """The last message's beginning."""
    closing: str
    """The last message's end."""
    messages: int
    """How many there are, without the system's."""
    roles: tuple[str, ...]
    """Who speaks in the first messages, sorted."""


def ends_of(body: Mapping[str, Any], most: int) -> Ends:
    """Read only as much as is told: ``most`` characters of each text, and few of many messages and parts."""
    messages: list[Any] = []
    for name in _MESSAGE_FIELDS:
        if isinstance(given := body.get(name), list):
            messages = given
            break
    system = ""
    if not _SYSTEM_FIELDS_SET.isdisjoint(body):
        system = "".join([_start(part, most) for name in _SYSTEM_FIELDS if (part := body.get(name))])
    roles = [
        role for one in messages[:_MOST_PARTS] if isinstance(one, dict) and isinstance(role := one.get("role"), str)
    ]
    spoken = len(messages)
    for message in messages[:2]:
        if isinstance(message, dict) and message.get("role") in ("system", "developer"):
            system += _start(message.get("content"), most)
            spoken -= 1
    last = messages[-1] if messages else next((body[name] for name in _MESSAGE_FIELDS if body.get(name)), "")
    content = last.get("content", last.get("parts")) if isinstance(last, dict) else last
    if isinstance(content, str):
        opening = closing = content
    else:
        texts = [text for _, text in islice(_parts(content, read_json=False), _MOST_PARTS) if text] or [""]
        opening, closing = texts[0], texts[-1]
    return Ends(system[:most], opening[:most], closing[-most:], max(spoken, 1), tuple(sorted(set(roles))))


def _start(content: Any, most: int) -> str:
    if isinstance(content, str):
        return content[:most]
    return " ".join([text[:most] for _, text in islice(_parts(content, read_json=False), _MOST_PARTS)])


def _message(item: Any) -> Message:
    if not isinstance(item, dict):
        return Message("user", tuple(_parts(item)))
    role = item.get("role")
    content = item.get("content", item.get("parts"))
    parts = list(_parts(item if content is None and not role else content))
    for call in item.get("tool_calls") or ():
        parts += _parts(call)
    return Message(role if isinstance(role, str) else "user", tuple(parts))


def _parts(content: Any, *, read_json: bool = True) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield "text", content
    elif isinstance(content, list):
        for part in content:
            yield from _parts(part, read_json=read_json)
    elif isinstance(content, dict):
        if isinstance(content.get("parts"), list):  # Gemini's systemInstruction is a message
            yield from _parts(content["parts"], read_json=read_json)
            return
        kind = content.get("type")
        text = next(
            (content[name] for name in ("text", "thinking", "refusal") if isinstance(content.get(name), str)), None
        )
        if text is not None:
            yield "text", text
            return
        for name in ("input", "arguments", "args", "function", "functionCall", "functionResponse", "content", "output"):
            if name in content:  # a tool's call or result
                inner = content[name]
                told = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False) if read_json else ""
                yield (kind if isinstance(kind, str) else name), told
                return
        yield (kind if isinstance(kind, str) else next(iter(content), "unknown")), ""
