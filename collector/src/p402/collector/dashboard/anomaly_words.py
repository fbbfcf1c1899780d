"""Why a session was flagged, in words (pure)."""

from __future__ import annotations

from p402.collector.anomalies.baseline import DAYS
from p402.collector.anomalies.detect import AnomalyRules, Rule
from p402.collector.anomalies.ports import Anomaly
from p402.collector.dashboard.format import cents, count
from p402.vocabulary import Money

__all__ = ["RULE_NAMES", "in_words", "is_own", "rules_in_words"]

RULE_NAMES = {
    Rule.EMPLOYEE_MEAN: "above the employee's mean",
    Rule.SESSION_COST: "above what any session may cost",
}
_MANY_TIMES = 100  # from here on tenths say nothing


def in_words(anomaly: Anomaly, rules: AnomalyRules) -> str:
    """Say what is out of the ordinary about a session, to go on after its cost."""
    compared = _compared(anomaly)
    if anomaly.rule is Rule.EMPLOYEE_MEAN:
        return compared or f"above the mean of the last {DAYS} days"
    limit = f"more than any session should cost (the limit is {cents(rules.session_cost)})"
    return f"{limit}; {compared}" if compared else limit


def rules_in_words(rules: AnomalyRules) -> str:
    """Say when a session is flagged."""
    factor = f"{float(rules.factor):g}"
    sessions = "one other session" if rules.min_sessions == 1 else f"{rules.min_sessions} other sessions"
    return (
        f"A session is flagged when it costs more than {factor} times what the employee's sessions of the last {DAYS} days cost"
        f" on average (from {sessions} on, and above {cents(rules.min_cost)}), or more than {cents(rules.session_cost)}"
        " whoever's it is. Nothing is blocked."
    )


def is_own(anomaly: Anomaly, employee: str | None) -> bool:
    """Tell whether a session is somebody's own."""
    return employee is not None and anomaly.session.employee == employee


def _compared(anomaly: Anomaly) -> str | None:
    baseline = anomaly.baseline
    if not baseline.sessions or not baseline.cost:
        return None
    tenths = (anomaly.cost.nano_usd * baseline.sessions * 10 + baseline.cost // 2) // baseline.cost
    times = f"{tenths // 10}.{tenths % 10}" if tenths < 10 * _MANY_TIMES else count((tenths + 5) // 10)
    others = "one session" if baseline.sessions == 1 else f"{count(baseline.sessions)} sessions"
    return f"{times} times the mean {cents(Money(baseline.mean))} of the last {DAYS} days' {others}"
