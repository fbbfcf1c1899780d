"""A prompt pattern: one id for all requests that are made from one template, which tells nothing of their text.

It is a keyed hash (BLAKE2b) of the request's shape: who speaks, how many messages (roughly), the instructions without what
changes in them (numbers, quoted parts, long literals), the names of tools, and the form of the answer. It is computed
here; no text leaves. Only who has the key can tell whether a given template is behind a pattern.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from p402.instrumentation.messages import Ends

__all__ = ["prompt_pattern"]

_LONG_WORD = 24
_MOST_KEY = hashlib.blake2b.MAX_KEY_SIZE
_NO_DIGITS = str.maketrans("", "", "0123456789")
_QUOTED = tuple((mark, re.compile(pattern)) for mark, pattern in (('"', '"[^"]*"'), ("“", "“[^”]*”"), ("`", "`[^`]*`")))
_BUCKETS = (1, 2, 5, 10, 20)


def prompt_pattern(key: bytes, operation: str, body: Mapping[str, Any], ends: Ends) -> str:
    """Give the pattern's id, 16 hexadecimal digits."""
    bucket = _BUCKETS[at] if (at := bisect_left(_BUCKETS, ends.messages)) < len(_BUCKETS) else 0
    return _digest(key, operation, bucket, ends.roles, ends.system, _tools(body.get("tools")), _form(body))


@lru_cache(maxsize=256)  # an application has few templates, and most have nothing that changes
def _digest(
    key: bytes, operation: str, bucket: int, roles: tuple[str, ...], system: str, tools: tuple[str, ...], form: str
) -> str:
    shape = (operation, bucket, roles, template(system), list(tools), form)
    return hashlib.blake2b(repr(shape).encode(errors="replace"), key=key[:_MOST_KEY], digest_size=8).hexdigest()


def template(text: str) -> str:
    """Take out of a text what changes from one use of a template to the next."""
    for mark, quoted in _QUOTED:
        if mark in text:
            text = quoted.sub(mark, text)
    words = text.translate(_NO_DIGITS).split()
    return " ".join([word if len(word) <= _LONG_WORD else "…" for word in words])


def _tools(tools: Any) -> tuple[str, ...]:
    names = []
    for tool in tools[:64] if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            declared = tool.get("functionDeclarations") or [tool.get("function") or tool]
            names += [str(one.get("name") or one.get("type")) for one in declared if isinstance(one, dict)]
    return tuple(sorted(names))


def _form(body: Mapping[str, Any]) -> str:
    config = body.get("generationConfig")
    if isinstance(config, dict):
        return f"{config.get('responseMimeType')} {bool(config.get('responseSchema'))}"
    text = body.get("text")
    form = text.get("format") if isinstance(text, dict) else body.get("response_format")
    if not isinstance(form, dict):
        return ""
    schema = form.get("json_schema")
    return f"{form.get('type')} {(schema if isinstance(schema, dict) else form).get('name')}"
