"""The one place where everything is built and joined."""

from __future__ import annotations

from p402.collector.wiring.collector import Collector, build

__all__ = ["Collector", "build"]
