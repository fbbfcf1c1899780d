"""What becomes of a call: its decision, with what holds its money; or the promise of one, which can be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from p402.decisions import Decision, Question
from p402.instrumentation.feedback.leases import Hold
from p402.vocabulary import Usage, attributes

__all__ = ["Admission", "Pending", "Tighten"]

Tighten = Callable[[Question], Question | None]
"""Gives the same question with a tighter bound of its input, or itself; None if it cannot tell yet. It may take milliseconds."""

_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Admission:
    """A decision, and what was taken from a lease for the call; None if nothing limits it, or it is refused."""

    decision: Decision
    hold: Hold | None = None

    def finish(self, usage: Usage | None, *, as_priced: bool = True) -> None:
        """Give back what the call did not use; see `Hold.finish`."""
        if self.hold is not None:
            self.hold.finish(usage, as_priced=as_priced)

    def attributes(self, asked_model: str) -> Mapping[str, str]:
        """Write it as attributes of the call's span."""
        decision = self.decision
        told: dict[str, Any] = {
            attributes.P402_DECISION_VERDICT: decision.verdict.value,
            attributes.P402_DECISION_CODE: decision.code.value,
            attributes.P402_DECISION_RATIONALE: decision.rationale,
            attributes.P402_DECISION_WOULD: decision.would,
            attributes.P402_LEASE: self.hold.lease.id if self.hold else None,
            attributes.P402_DECISION_ORIGINAL_MODEL: asked_model if decision.model != asked_model else None,
        }
        return {name: value for name, value in told.items() if value is not None}


class Pending:
    """A call that waits. Whoever asked waits by one of two ways, or gives up; what comes too late is given back."""

    def __init__(
        self,
        question: Question,
        now: float,
        patience: Callable[[Pending], float],
        fallback: Callable[[], Admission],
        tighten: Tighten | None = None,
    ) -> None:
        self.question = question
        self.started_at = now
        self._tighten = tighten
        self.waits_until: float | None = None
        """Until when it waits for money to come back, if it does; then it is refused."""
        self._patience = patience
        self._fallback = fallback
        self._answer: Future[Admission] = Future()

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._answer.done()

    def tighten_question(self) -> bool:
        """Bound the input better, once; tells whether that helped."""
        tightened = self._tighten(self.question) if self._tighten is not None else None
        if tightened is None:
            return False
        self._tighten = None
        before, self.question = self.question, tightened
        return self.question is not before

    def settle(self, admission: Admission) -> None:
        """Answer; if that has been done, or nobody waits any more, what was taken goes back."""
        try:
            self._answer.set_result(admission)
        except InvalidStateError:
            admission.finish(None)

    def result(self) -> Admission:
        """Wait on this thread."""
        try:
            while (seconds := self._patience(self)) > 0:
                with suppress(TimeoutError):
                    return self._answer.result(seconds)
        except BaseException:
            self._give_up()
            raise
        return self._late()

    async def result_async(self) -> Admission:
        """Wait without holding up the event loop, whichever it is."""
        try:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return await self._poll()
            answer = asyncio.wrap_future(self._answer)
            while (seconds := self._patience(self)) > 0:
                done, _ = await asyncio.wait((answer,), timeout=seconds)
                if done:
                    return answer.result()
        except BaseException:
            self._give_up()
            raise
        return self._late()

    async def _poll(self) -> Admission:
        import anyio  # noqa: PLC0415 - who runs another event loop than asyncio's has it

        while self._patience(self) > 0:
            if self._answer.done():
                return self._answer.result()
            await anyio.sleep(_POLL_SECONDS)
        return self._late()

    def _late(self) -> Admission:
        return self._fallback() if self._answer.cancel() else self._answer.result()

    def _give_up(self) -> None:
        """Leave: what was taken for it goes back, now or when it comes."""
        if not self._answer.cancel():
            self._answer.result().finish(None)
