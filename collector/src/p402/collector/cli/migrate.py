"""``p402 migrate``: bring the database to the schema of this version."""

from __future__ import annotations

import argparse

from p402.collector.settings import load_settings
from p402.collector.storage.backend import open_backend
from p402.collector.storage.migrate import upgrade

__all__ = ["add_to"]


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("migrate", help="bring the database to the schema of this version")
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    backend = open_backend(load_settings())
    before = upgrade(backend)
    print(
        f"{backend.place}: {'created' if before is None else f'was at schema {before}'}; it is at the current schema now."
    )
    return 0
