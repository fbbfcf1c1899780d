"""What becomes of a call when the collector cannot be asked: it goes on unguarded, or it is refused."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from p402.decisions import Code, Decision, FailMode, Question, Verdict
from p402.instrumentation.feedback.admission import Admission
from p402.instrumentation.feedback.known import KnownRules

__all__ = ["Fallback"]

_logger = logging.getLogger("p402.instrumentation")
_REPORT_SECONDS = 60.0


class Fallback:
    """Applies the fail mode: a hard budget's, else the department's, else the service's own. Counts, and says so."""

    def __init__(self, default: FailMode, destination: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._default = default
        self._destination = destination
        self._clock = clock
        self._lock = threading.Lock()
        self._reported_at: float | None = None
        self.unguarded = 0
        """Calls that went on."""
        self.refused = 0
        """Calls that did not."""

    def admission(self, question: Question, known: KnownRules | None, *, hard: bool) -> Admission:
        """Decide about a call without the collector.

        Args:
            question: the call.
            known: the rules that were last heard of.
            hard: whether the call may be under a hard budget.
        """
        mode, why = self._mode(known, hard=hard)
        with self._lock:
            if mode is FailMode.OPEN:
                self.unguarded += 1
            else:
                self.refused += 1
            now = self._clock()
            report = self._reported_at is None or now - self._reported_at >= _REPORT_SECONDS
            if report:
                self._reported_at = now
        if report:
            _logger.warning(
                "P402 Meter could not ask %s about budgets: since the start %d calls went on unguarded and %d were refused "
                "(fail mode %s by %s). Is the collector running, and may P402_API_KEY ask (scope feedback)?",
                self._destination,
                self.unguarded,
                self.refused,
                mode.value,
                why,
            )
        said = f"fail_mode={mode.value}, set_by={why}"
        if mode is FailMode.OPEN:
            verdict, code = Verdict.ALLOW, Code.UNGUARDED
        else:
            verdict, code = Verdict.BLOCK, Code.COLLECTOR_UNREACHABLE
            said = f"{said}, refused=the collector could not be asked"
        return Admission(Decision(verdict=verdict, code=code, rationale=said, model=question.model, holds={}))

    def _mode(self, known: KnownRules | None, *, hard: bool) -> tuple[FailMode, str]:
        if hard:
            return FailMode.CLOSED, "hard_budget"
        if known is not None and known.policy.fail_mode is not None:
            return known.policy.fail_mode, "policy"
        return self._default, "service"
