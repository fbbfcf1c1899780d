"""Brings the dashboard's third-party scripts from npm into the package when it is built."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = "src/p402/collector/dashboard/static/vendor"
FILES = {  # file in node_modules → name in VENDOR
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE",
    "idiomorph/dist/idiomorph-ext.min.js": "idiomorph-ext.min.js",
    "idiomorph/LICENSE": "idiomorph.LICENSE",
    "uplot/dist/uPlot.iife.min.js": "uplot.min.js",
    "uplot/dist/uPlot.min.css": "uplot.min.css",
    "uplot/LICENSE": "uplot.LICENSE",
}
LOCK = "package-lock.json"


class DashboardAssets(BuildHookInterface[Any]):
    """Copies the files that are missing, or of another lock; a wheel that is built from an sdist finds them there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling."""
        del version
        root = Path(self.root)
        vendor = root / VENDOR
        build_data["artifacts"].append(f"/{VENDOR}/*")
        lock = (root / LOCK).read_text()
        stamp = vendor / LOCK
        if stamp.is_file() and stamp.read_text() == lock and all((vendor / name).is_file() for name in FILES.values()):
            return
        if os.environ.get("P402_SKIP_ASSETS"):
            self.app.display_warning("The dashboard's scripts are left out (P402_SKIP_ASSETS is set).")
            return
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit(
                "Building p402-collector needs npm. Install it, or set P402_SKIP_ASSETS=1: pages do without."
            )
        subprocess.run([npm, "ci", "--ignore-scripts", "--silent"], cwd=root, check=True)
        vendor.mkdir(parents=True, exist_ok=True)
        for source, name in FILES.items():
            shutil.copyfile(root / "node_modules" / source, vendor / name)
        stamp.write_text(lock)
