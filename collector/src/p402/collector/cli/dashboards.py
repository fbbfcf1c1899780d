"""``p402 dashboards``: write dashboards and provisioning where Grafana loads them."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from p402.exporters.grafana import FOLDER

__all__ = ["add_to"]


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("dashboards", help="write dashboards and provisioning for Grafana into a folder")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="gets the folders dashboards, provisioning"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    for source in sorted([*FOLDER.glob("dashboards/*.json"), *FOLDER.glob("provisioning/*/*.yaml")]):
        written = arguments.out / source.relative_to(FOLDER)
        written.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, written)
        print(written)
    return 0
