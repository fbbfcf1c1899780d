"""Files that people keep rules in: YAML or TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from p402.vocabulary import Permanent

__all__ = ["DocumentInvalid", "differences", "read_document"]


class DocumentInvalid(Permanent):
    """A file cannot be used; the message says where and why."""


def read_document(file: Path) -> dict[str, Any]:
    """Read a file of named things; what ends in ``.toml`` is TOML, all else YAML, of which JSON is a part.

    Raises:
        DocumentInvalid: if it cannot be read, or is no mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DocumentInvalid(f"{file} cannot be read: {' '.join(str(error).split())}.") from error
    if not isinstance(document, dict):
        raise DocumentInvalid(f"{file} must be a mapping of names to values.")
    return document


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Say line by line in what two documents of JSON values differ: ``rules[0].when.complexity_to: 5 → 6``."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*before, *after)):
            yield from differences(before.get(name), after.get(name), f"{path}.{name}" if path else str(name))
    elif _is_list(before) and _is_list(after) and any(isinstance(item, Mapping) for item in (*before, *after)):
        for place in range(max(len(before), len(after))):
            old, new = (items[place] if place < len(items) else None for items in (before, after))
            yield from differences(old, new, f"{path}[{place}]")
    elif before != after:
        yield f"{path}: {_shown(before)} → {_shown(after)}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _shown(value: Any) -> str:
    return "–" if value is None else str(value)
