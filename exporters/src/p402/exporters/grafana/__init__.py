"""Dashboards for Grafana as code: builders, the JSON that they make, and provisioning.

The JSON is in the package, so that nobody who uses it needs the SDK that the builders need (extra ``[grafana]``).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["DASHBOARDS", "FOLDER"]

FOLDER = Path(str(files(__name__)))
"""Holds ``dashboards`` and ``provisioning``."""

DASHBOARDS: tuple[Path, ...] = tuple(FOLDER / "dashboards" / name for name in ("p402-spend.json", "p402-traces.json"))
"""The dashboards as Grafana reads them."""
