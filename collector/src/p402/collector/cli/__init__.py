"""The command ``p402``: one file per subcommand, of which only the one that is asked for is read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from p402.vocabulary import P402Error

__all__ = ["main", "parser"]

_COMMANDS = (
    "serve",
    "demo",
    "doctor",
    "keys",
    "spend",
    "top",
    "budgets",
    "policies",
    "directory",
    "reconcile",
    "export",
    "erase",
    "holds",
    "vault",
    "log",
    "settle",
    "rules",
    "dashboards",
    "backup",
    "migrate",
)
"""Names of commands, and of the modules here that they are in."""


def parser(asked: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line.

    Args:
        asked: the only command to describe, if it is one; all of them together take longer to read than most take to run.
    """
    described = argparse.ArgumentParser(
        prog="p402",
        description="P402 Meter: every AI token attributed, priced, and provable afterwards.",
        epilog="Settings come from the file named by P402_CONFIG and from P402_* variables; see the collector's README.",
    )
    described.add_argument("--version", action="version", version=f"p402 {version('p402-collector')}")
    subparsers = described.add_subparsers(required=True, metavar="COMMAND")
    for name in (asked,) if asked in _COMMANDS else _COMMANDS:
        import_module(f"{__name__}.{name}").add_to(subparsers)
    return described


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 could not be done, 2 wrong usage."""
    given = sys.argv[1:] if arguments is None else arguments
    parsed = parser(next(iter(given), None)).parse_args(given)
    try:
        return int(parsed.run(parsed))
    except P402Error as error:
        print(f"p402: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
