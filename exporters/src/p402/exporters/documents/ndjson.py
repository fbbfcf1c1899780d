"""NDJSON: one JSON value a line, in UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["ndjson_lines"]


def ndjson_lines(values: Iterable[Mapping[str, Any]]) -> bytes:
    """Write values, each ended by a line feed. JSON escapes line feeds, so a line is a value."""
    lines = (json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False) for value in values)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", errors="backslashreplace")
