"""In what two policies differ, or two of any documents of JSON values (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["differences"]


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
    if isinstance(value, str):
        return value
    return "–" if value is None else json.dumps(value, ensure_ascii=False)
