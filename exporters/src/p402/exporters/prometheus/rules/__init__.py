"""Recording and alerting rules for Prometheus, as files that it loads. What each alert means is in the collector's runbook."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["RULES"]

_HERE = Path(str(files(__name__)))

RULES: tuple[Path, ...] = (_HERE / "recording.yaml", _HERE / "alerts.yaml")
"""The files, in the order in which they build on each other."""
