"""Files that people keep rules in: YAML or TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from p402.vocabulary import Permanent

__all__ = ["DocumentInvalid", "read_document"]


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
