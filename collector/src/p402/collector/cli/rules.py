"""``p402 rules``: write the recording and alerting rules where Prometheus can load them."""

from __future__ import annotations

import argparse
from pathlib import Path

from p402.exporters.prometheus.rules import RULES

__all__ = ["add_to"]

_RUNBOOK = "RUNBOOK.md"


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("rules", help="write recording and alerting rules for Prometheus into a folder")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder that Prometheus loads rules from"
    )
    parser.add_argument(
        "--runbook",
        default=_RUNBOOK,
        metavar="URL",
        help="page that alerts link to; the collector's RUNBOOK.md says it",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    arguments.out.mkdir(parents=True, exist_ok=True)
    for file in RULES:
        written = arguments.out / f"p402-{file.name}"
        written.write_text(file.read_text(encoding="utf-8").replace(f"{_RUNBOOK}#", f"{arguments.runbook}#"), "utf-8")
        print(written)
    return 0
