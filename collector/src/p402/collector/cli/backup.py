"""``p402 backup``: copy the SQLite database while the collector writes it."""

from __future__ import annotations

import argparse
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from p402.collector.cli.database import existing_backend
from p402.collector.settings import load_settings
from p402.vocabulary import Permanent

__all__ = ["add_to"]


class NoBackup(Permanent):
    """The database cannot be copied, or not to there."""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "backup",
        help="copy the SQLite database while the collector writes it",
        description="Copy the SQLite database while the collector writes it: everything that was acknowledged before is in the "
        "copy. Keys, and the list of erased names, are not; the README says what becomes of those.",
    )
    parser.add_argument("file", type=Path, help="new file to write")
    parser.set_defaults(run=lambda parsed: _run(parsed.file))


def _run(target: Path) -> int:
    settings = load_settings()
    if settings.postgresql_url is not None:
        raise NoBackup("The database is PostgreSQL: pg_dump makes its backups; see the README.")
    existing_backend(settings)
    source = settings.database_file
    if target.exists():
        raise NoBackup(f"{target} exists; name a new file.")
    partial = target.with_name(f"{target.name}.partial")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        _copy(source, partial)
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise NoBackup(f"{source} cannot be copied to {target}: {error}.") from error
    print(f"{target}: {target.stat().st_size / 1e6:,.1f} MB")
    return 0


def _copy(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as database,
        closing(sqlite3.connect(target)) as copy,
    ):
        database.backup(copy)  # in one step: it sees one moment, and writers do not wait
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    with target.open("rb") as written:
        os.fsync(written.fileno())
