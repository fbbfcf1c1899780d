"""Why a session was flagged, as a reviewer reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from p402.collector.anomalies.baseline import Baseline
from p402.collector.anomalies.detect import AnomalyRules, Rule
from p402.collector.anomalies.ports import Anomaly, AnomalyState
from p402.collector.dashboard.anomaly_words import in_words, is_own, rules_in_words
from p402.vocabulary import Attribution, Money

RULES = AnomalyRules(Fraction(3), 5, Money.parse("0.50"), Money.parse("10"))


def an_anomaly(rule: Rule, cost: str, sessions: int, total: str) -> Anomaly:
    return Anomaly(
        anomaly_id="anom_1",
        seq=1,
        session=Attribution(organisation="acme", employee="e-1"),
        rule=rule,
        cost=Money.parse(cost),
        baseline=Baseline(sessions, Money.parse(total).nano_usd),
        flagged_at=datetime(2026, 5, 15, tzinfo=UTC),
        state=AnomalyState.OPEN,
        reviewed_by=None,
        reviewed_at=None,
        note=None,
    )


@pytest.mark.parametrize(
    ("anomaly", "words"),
    [
        (
            an_anomaly(Rule.EMPLOYEE_MEAN, "12.40", 14, "28.46"),
            "6.1 times the mean $2.03 of the last 30 days' 14 sessions",
        ),
        (an_anomaly(Rule.EMPLOYEE_MEAN, "4", 1, "1"), "4.0 times the mean $1.00 of the last 30 days' one session"),
        (an_anomaly(Rule.EMPLOYEE_MEAN, "1234", 2, "2"), "1,234 times the mean $1.00 of the last 30 days' 2 sessions"),
        (an_anomaly(Rule.SESSION_COST, "12.40", 0, "0"), "more than any session should cost (the limit is $10.00)"),
        (
            an_anomaly(Rule.SESSION_COST, "12", 2, "6"),
            "more than any session should cost (the limit is $10.00); 4.0 times the mean $3.00 of the last 30 days' 2 sessions",
        ),
    ],
)
def test_a_flag_is_told_as_a_comparison(anomaly: Anomaly, words: str) -> None:
    assert in_words(anomaly, RULES) == words


def test_the_rules_are_told_with_their_limits() -> None:
    said = rules_in_words(RULES)
    for part in ("3 times", "30 days", "5 other sessions", "$0.50", "$10.00", "Nothing is blocked"):
        assert part in said


def test_a_session_is_ones_own_only_where_both_are_known() -> None:
    anomaly = an_anomaly(Rule.SESSION_COST, "12", 2, "6")
    assert is_own(anomaly, "e-1")
    assert not is_own(anomaly, "e-2")
    assert not is_own(anomaly, None)
