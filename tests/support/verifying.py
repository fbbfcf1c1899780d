"""A bundle to verify, the chain that it is anchored on, and what a report has of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from p402.receipts import ChainReader, Link, Report, Status, Trust, verify
from support.sample_log import answering_node, chain_answers, fixed_signer, sample_bundle, sample_log, sample_statement

__all__ = ["BUNDLE", "LOG", "OFFLINE", "OF_RECEIPTS", "answers", "check", "links", "trust"]

LOG = sample_log(5)
BUNDLE = sample_bundle(LOG, 2)
OFFLINE = Trust((fixed_signer().verifier_key,))
OF_RECEIPTS = set(Link) - {Link.CONSISTENCY, Link.COMPLETE}
"""The links of a bundle about one state of the log."""


@pytest.fixture
def answers() -> dict[str, Any]:
    return chain_answers(sample_statement(LOG))


@pytest.fixture
def trust(answers: dict[str, Any]) -> Iterator[Trust]:
    with answering_node(answers) as url:
        yield replace(OFFLINE, rpc=ChainReader(url, timeout=5))


def check(bundle: object, trust: Trust = OFFLINE) -> Report:
    """Verify a bundle."""
    return verify(json.dumps(bundle).encode(), trust)


def links(report: Report, status: Status) -> set[Link]:
    """The links that came out so."""
    return {item.link for item in report.checks if item.status is status}
