"""Pseudonyms: names of a person and of their sessions, replaced wherever they stand (pure).

What is structured is replaced by what it means: the value of ``employee``, of ``session``, the ``node`` of a level. Other
levels are left alone, also where a department has the same id. In sentences names are replaced as words.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["Names", "new_pseudonym"]

_PREFIX = "erased-"
_SENTENCES = frozenset(
    {
        "summary",
        "rationale",
        "reason",
        "note",
        "comment",
        "detail",
        "name",
        "owner",
        "by",
        "would",
        "title",
        "dedupe_key",
    }
)
_SAME_AS_PARENT = frozenset({"before", "after"})
"""Names in a record of a change; what is under them is what the name above says."""
_SHORTEST_WORD = 3
"""Shorter names are replaced where they are structured only: as words they could be anything."""


def new_pseudonym() -> str:
    """Draw a pseudonym: 80 random bits, derived from nothing."""
    return _PREFIX + secrets.token_hex(10)


@dataclass(frozen=True, slots=True)
class Names:
    """What is replaced by what."""

    employees: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)
    """Names of sessions that are replaced in sentences even if they have spaces."""
    words: bool = True
    """Whether all names of sessions are replaced in sentences: a session may be called like a word that others use."""

    def are_of(self, employee: str | None) -> bool:
        """Tell whether an employee is the person, under their name or under the pseudonym already."""
        return employee in self.employees or employee in self.employees.values()

    def in_json(self, value: Any, level: str | None = None) -> Any:
        """Replace names in JSON values; what holds none comes back equal."""
        return _walk(self, value, "", level)

    def in_text(self, text: str) -> str:
        """Replace names in a sentence, where they stand as words of their own."""
        for names in (self.employees, self.sessions if self.words else self.phrases):
            if (whole := names.get(text)) is not None:
                return whole
        for name, pseudonym in (*self.phrases.items(), *self.employees.items()):
            text = _replace_word(text, name, pseudonym)
        if self.sessions and self.words:
            text = _WORD.sub(self._session_word, text)
        return text

    def about(self, value: Mapping[str, Any], level: str | None) -> Names:
        """Give the same names, with the session that an object names as a phrase of its sentences."""
        phrases = {
            found: self.sessions[found]
            for found in (value.get("session"), value.get("session_id"), level == "session" and value.get("node"))
            if isinstance(found, str) and found in self.sessions
        }
        return replace(self, phrases=phrases) if phrases else self

    def _session_word(self, match: re.Match[str]) -> str:
        word = match[0]
        stem = word.rstrip(".:!?")
        found = self.sessions.get(word) or (self.sessions.get(stem) if len(stem) >= _SHORTEST_WORD else None)
        if found is None or len(word) < _SHORTEST_WORD:
            return word
        return found + (word[len(stem) :] if word not in self.sessions else "")


def _walk(names: Names, value: Any, name: str, level: str | None) -> Any:
    if isinstance(value, dict):
        said = value.get("level")
        own = said if isinstance(said, str) else level
        of_this = names.about(value, own)
        return {key: _walk(of_this, item, name if key in _SAME_AS_PARENT else key, own) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(names, item, name, level) for item in value]
    if not isinstance(value, str):
        return value
    if name == "employee" or (name == "node" and level == "employee"):
        return names.employees.get(value, value)
    if name in {"session", "session_id"} or (name == "node" and level == "session"):
        return names.sessions.get(value, value)
    return names.in_text(value) if name in _SENTENCES else value


_WORD = re.compile(r"[^\s\"'(),;\[\]{}]+")


def _replace_word(text: str, name: str, pseudonym: str) -> str:
    """Replace a name where no letter or digit goes on before or after it."""
    if len(name) < _SHORTEST_WORD or name not in text:
        return text
    return re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", lambda _: pseudonym, text)
