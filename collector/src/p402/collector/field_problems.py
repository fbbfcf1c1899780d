"""Says what is wrong with something that somebody wrote: the path of each field, and what is allowed there."""

from __future__ import annotations

from pydantic import ValidationError

__all__ = ["problems_of"]


def problems_of(error: ValidationError, whole: str = "all of it") -> str:
    """Join the problems into one sentence's worth, each after the path of its field: ``rules[0].when.models: …``."""
    return "; ".join(
        f"{_path(problem['loc']) or whole}: {_said(problem['msg'])}"
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )


def _path(parts: tuple[int | str, ...]) -> str:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _said(message: str) -> str:
    if message == "Extra inputs are not permitted":
        return "there is no such field"
    return message.removeprefix("Value error, ")
