"""``python -m p402.collector.demo.acme``: feed Acme's past into the data folder that the settings name."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from p402.collector.demo.acme.history import DAYS, SEED, feed
from p402.collector.settings import load_settings
from p402.vocabulary import P402Error


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, and feed."""
    parser = argparse.ArgumentParser(prog="python -m p402.collector.demo.acme", description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS, help="how many days, today included")
    parser.add_argument("--seed", type=int, default=SEED, help="decides who does what")
    parsed = parser.parse_args(arguments)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    now = datetime.now(UTC)
    settings = load_settings()
    try:
        asyncio.run(feed(settings, parsed.seed, parsed.days, now, lambda line: print(line, flush=True)))
    except P402Error as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
