"""When a session is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from p402.collector.sessions.track import SessionRules, due_at

RULES = SessionRules(idle=timedelta(minutes=15), close_grace=timedelta(seconds=10), longest=timedelta(hours=24))


def nine(**later: float) -> datetime:
    return datetime(2026, 5, 15, 9, tzinfo=UTC) + timedelta(**later)


@pytest.mark.parametrize(
    ("last_seen_at", "closed_at", "due"),
    [
        (nine(), None, nine(minutes=15)),
        (nine(hours=1), None, nine(hours=1, minutes=15)),
        (nine(hours=23, minutes=45), None, nine(hours=24)),
        (nine(hours=30), None, nine(hours=24)),
        (nine(), nine(minutes=1), nine(minutes=1, seconds=10)),
        (nine(minutes=2), nine(minutes=1), nine(minutes=2, seconds=10)),
        (nine(hours=30), nine(hours=29), nine(hours=30, seconds=10)),
        (nine(), nine(hours=-1), nine(seconds=10)),
    ],
    ids=["silent", "went on", "nearly a day", "over a day", "closed", "a late span", "closed late", "closed before"],
)
def test_a_session_is_sealed_when_it_is_over(last_seen_at: datetime, closed_at: datetime | None, due: datetime) -> None:
    assert due_at(RULES, nine(), last_seen_at, closed_at) == due
