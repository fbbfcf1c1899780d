"""The command ``p402``: one file per subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from p402.collector.cli import (
    backup,
    budgets,
    dashboards,
    demo,
    directory,
    doctor,
    erase,
    export,
    holds,
    keys,
    log,
    migrate,
    policies,
    reconcile,
    rules,
    serve,
    settle,
    spend,
    top,
    vault,
)
from p402.vocabulary import P402Error

__all__ = ["main", "parser"]

_COMMANDS = (
    serve,
    demo,
    doctor,
    keys,
    spend,
    top,
    budgets,
    policies,
    directory,
    reconcile,
    export,
    erase,
    holds,
    vault,
    log,
    settle,
    rules,
    dashboards,
    backup,
    migrate,
)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    described = argparse.ArgumentParser(
        prog="p402",
        description="P402 Meter: every AI token attributed, priced, and provable afterwards.",
        epilog="Settings come from the file named by P402_CONFIG and from P402_* variables; see the collector's README.",
    )
    subparsers = described.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(subparsers)
    return described


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 could not be done, 2 wrong usage."""
    parsed = parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except P402Error as error:
        print(f"p402: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
