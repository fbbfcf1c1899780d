"""What a span may hold of prompts and answers: by default nothing. Everything is computed in the host's process.

The names and the form of messages are OpenTelemetry's: ``gen_ai.input.messages`` and ``gen_ai.output.messages`` in JSON
(https://github.com/open-telemetry/semantic-conventions-genai).
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

from p402.instrumentation.messages import Message, input_messages, prompt_in
from p402.instrumentation.redaction import redact
from p402.vocabulary import attributes

__all__ = ["Content", "ContentMode", "keyed_hash"]

_MOST_CHARACTERS = 32_768


class ContentMode(StrEnum):
    """How much leaves the process."""

    METADATA = "metadata"
    """No prompt, no answer."""
    FINGERPRINT = "fingerprint"
    """Keyed hashes of both."""
    REDACTED = "redacted"
    """Both, bounded, without what looks like personal data or a secret."""
    FULL = "full"
    """Both, bounded, verbatim."""


class Content:
    """Makes the attributes about content, as one mode asks for. A key that is not given is made up for the process."""

    def __init__(self, mode: ContentMode, key: bytes | None) -> None:
        self.key = key or secrets.token_bytes(32)
        self._mode = mode

    def of(self, request_body: bytes, answer: Iterable[str], finish_reason: str | None) -> dict[str, str]:
        """Tell of a call that is over what may be told."""
        known = {attributes.P402_CONTENT_MODE: self._mode.value}
        if self._mode is ContentMode.METADATA:
            return known
        body: Any = json.loads(request_body)
        output = "".join(answer)
        if self._mode is ContentMode.FINGERPRINT:
            known[attributes.P402_FINGERPRINT_PROMPT] = keyed_hash(self.key, prompt_in(body))
            if output:
                known[attributes.P402_FINGERPRINT_OUTPUT] = keyed_hash(self.key, output)
            return known
        shown: Callable[[str], str] = redact if self._mode is ContentMode.REDACTED else str
        known[attributes.GEN_AI_INPUT_MESSAGES] = _json(input_messages(body), shown)
        if output:
            told = [Message("assistant", (("text", output),))]
            known[attributes.GEN_AI_OUTPUT_MESSAGES] = _json(told, shown, finish_reason=finish_reason or "error")
        return known


def keyed_hash(key: bytes, text: str) -> str:
    """Hash a text so that who has not the key can neither guess nor confirm it: HMAC-SHA-256, in hexadecimal."""
    return hmac.digest(key, text.encode(errors="replace"), "sha256").hex()


def _json(messages: list[Message], shown: Callable[[str], str], **more: str) -> str:
    left = _MOST_CHARACTERS
    told = []
    for message in messages:
        parts = []
        for kind, text in message.parts:
            if not text:
                parts.append({"type": kind})
                continue
            if left <= 0:
                break
            piece = shown(_cut(text, left))
            left -= len(piece)
            parts.append({"type": kind, "content": piece})
        if parts:
            told.append({"role": message.role, "parts": parts, **more})
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _cut(text: str, most: int) -> str:
    """Cut a text between words, so that no half of a secret is left that would not be recognised."""
    if len(text) <= most:
        return text
    head = text[:most]
    space = max(head.rfind(" "), head.rfind("\n"))
    return f"{head[: max(space, 0)]} […]"
