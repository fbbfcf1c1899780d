"""The guard: decides about calls with a lease that is held, in microseconds, or has the collector asked for one.

Calls that agree on the levels that have budgets share leases (a `Scope`). Where rules and a lease are at hand, a decision
takes no I/O. Else the call waits for an answer, which is asked for on a background thread, for a bounded time; and if none
comes, the fail mode decides.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from p402.decisions import Question, Verdict
from p402.instrumentation.feedback.admission import Admission, Pending, Tighten
from p402.instrumentation.feedback.book import Book, RulesKey
from p402.instrumentation.feedback.breaker import Breaker
from p402.instrumentation.feedback.fallback import Fallback
from p402.instrumentation.feedback.known import Scope
from p402.instrumentation.feedback.lanes import Lane, Timer
from p402.instrumentation.feedback.leases import Hold, Lease
from p402.instrumentation.feedback.settling import Settling
from p402.instrumentation.feedback.stream import Stream
from p402.instrumentation.feedback.transport import Transport, Unknown, Unreachable
from p402.instrumentation.feedback.wire import Answer, ask, read_answer

__all__ = ["Guard"]

_LONGEST_QUEUE = 2.0
"""Seconds that a call waits at most for its turn to ask a collector that answers."""
_FIRST_CONTACT = 1.0
"""Seconds that the first calls of a process wait: a name is resolved, a connection made, TLS negotiated, rules sent."""
_QUIET_SECONDS = 1.0
_SLACK_SECONDS = 1.0


class Guard:
    """Decides about the calls of one process."""

    def __init__(
        self,
        transport: Transport,
        flush: Callable[[], None],
        fallback: Fallback,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._transport = transport
        self._flush = flush
        """Sends the spans of finished calls."""
        self._fallback = fallback
        self._deadline = deadline
        """Seconds that a call waits for the collector's next answer."""
        self._clock = clock
        self._now = now
        self._begin()
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (again := begin()) and again())

    def _begin(self) -> None:
        """Begin afresh, also in the child of a fork: leases are the parent's."""
        self._unknown: dict[RulesKey, list[Pending]] = {}
        self._breaker = Breaker(self._clock)
        self._timer = Timer(self._clock)
        self._asking = Lane("leases", 2, self._transport.forget)
        self._stream = Stream(self._transport, self)
        self._book = Book(self._clock, self._now, self._stream.covers, self._ahead)
        self._settling = Settling(self._transport, self._flush, self._timer, self._wake, self._ahead, self._clock)
        self._transport.after_fork()
        self._closed = False
        self._ends_with_child = False

    # --- deciding

    def is_free(self, labels: Mapping[str, str]) -> bool:
        """Tell whether nothing is to be decided about calls with these labels: no budget limits them, no policy speaks."""
        return self._book.is_free(labels)

    def decide(self, question: Question, tighten: Tighten | None = None) -> Admission | Pending:
        """Decide about an attempt at a call, or promise to.

        Args:
            question: the call.
            tighten: bounds the input better, where little is left; called in the background.
        """
        if (admission := self._book.decide(question)) is not None:
            return admission
        if self._closed or not self._breaker.lets_pass():
            return self._fallback.admission(question, self._book.known(question))
        self._end_with_child()
        pending = Pending(question, self._clock(), self._patience, partial(self._gave_up, question), tighten)
        self._enqueue(pending)
        return pending

    def _end_with_child(self) -> None:
        """In a child that multiprocessing forked, end with it: such children run no `atexit` functions."""
        if self._ends_with_child:
            return
        self._ends_with_child = True
        util, process = (sys.modules.get(f"multiprocessing.{name}") for name in ("util", "process"))
        if util is not None and process is not None and process.parent_process() is not None:
            util.Finalize(self, self.shutdown, exitpriority=1)  # before the delivery, which has 0

    def _patience(self, pending: Pending) -> float:
        """Tell for how many seconds a call waits on: for the next answer, or for money to come back."""
        now = self._clock()
        if pending.waits_until is not None:
            return pending.waits_until + self._deadline + _SLACK_SECONDS - now
        deadline = max(self._deadline, _FIRST_CONTACT) if self._breaker.is_new else self._deadline
        until = max(pending.started_at, self._breaker.succeeded_at) + deadline
        return min(until, pending.started_at + max(_LONGEST_QUEUE, self._deadline)) - now

    def _gave_up(self, question: Question) -> Admission:
        self._breaker.failed()
        return self._fallback.admission(question, self._book.known(question))

    # --- asking

    def _enqueue(self, pending: Pending) -> None:
        """Let a call ask, or wait for its turn: few ask at once, and one answer may suffice for many."""
        job = None
        with self._book.lock:
            key = self._book.rules_key(pending.question)
            known = self._book.usable(pending.question)
            if known is None:
                waiting = self._unknown.setdefault(key, [])
                waiting.append(pending)
                if len(waiting) == 1:
                    job = partial(self._ask_first, key)
            else:
                scope = self._book.scope(known, pending.question)
                scope.queue.append(pending)
                if scope.asking < scope.askers:
                    scope.asking += 1
                    job = partial(self._serve, scope)
        if job is not None:
            self._asking.put(job)

    def _ask_first(self, key: RulesKey) -> None:
        """Ask for the first call under rules that are not known; the answer has them for all."""
        try:
            self._try(self._unknown[key][0])
        finally:
            with self._book.lock:
                rest = self._unknown.pop(key)[1:]
            for pending in rest:
                if not pending.is_over:
                    self._enqueue(pending)

    def _serve(self, scope: Scope) -> None:
        """Ask for those that wait their turn, one after another."""
        while True:
            with self._book.lock:
                if not scope.queue:
                    scope.asking -= 1
                    return
                pending = scope.queue.popleft()
            self._try(pending)

    def _try(self, pending: Pending) -> None:
        """Settle a call by what has come meanwhile, else by asking; it may have to sleep and try again."""
        if pending.is_over:
            return
        if (admission := self._book.decide(pending.question)) is not None:
            pending.settle(admission)
            return
        scope = self._book.find_scope(pending.question)
        if scope is not None and scope.is_tight:
            pending.tighten_question()
        if self._closed or (self._breaker.is_open and pending.started_at < self._breaker.opened_at):
            pending.settle(self._fallback.admission(pending.question, self._book.known(pending.question)))
            return
        try:
            answer, asked_at = self._ask(pending.question)
        except (Unreachable, Unknown):
            pending.settle(self._fallback.admission(pending.question, self._book.known(pending.question)))
            return
        scope, hold = self._learn(pending.question, answer, asked_at, for_call=True)
        if not answer.decision.goes_ahead and scope.is_tight and pending.tighten_question():
            self._try(pending)  # nothing is held for it, and a closer look may show that it fits
        else:
            self._conclude(pending, scope, hold, answer)

    def _ask(self, question: Question) -> tuple[Answer, float]:
        known = self._book.usable(question)
        if known is not None and question.service_tier not in known.tiers:
            known = None
        version = known.version if known else None
        asked_at = self._clock()
        try:
            wire = self._transport.post("/v1/leases", ask(question, version))
            answer = read_answer(wire, self._now(), with_rules=version is None)
        except (ValueError, KeyError, TypeError) as error:
            self._breaker.failed()
            raise Unreachable("The collector's answer cannot be read.") from error
        except (Unreachable, Unknown):
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        return answer, asked_at

    def _learn(
        self, question: Question, answer: Answer, asked_at: float, *, for_call: bool
    ) -> tuple[Scope, Hold | None]:
        """Take over what an answer brings: rules, prices, a lease; out of it, first of all, what the asking call needs.

        All at once, so that nobody who finds the rules there asks again for a lease that is just coming.
        """
        hold = None
        with self._book.lock:
            if answer.rules is not None:
                version = answer.rules.version
                mine = self._book.known(question)
                gone, woken = self._book.drop(lambda known: known is mine and known.version != version)
            else:
                gone, woken = [], []
            scope = self._book.learn(question, answer, asked_at)
            if answer.lease is not None:
                granted, decision = answer.lease, answer.decision
                finished = partial(self._settling.call_finished, scope)
                lease = Lease(granted.id, granted.amounts, asked_at + granted.seconds, asked_at, finished)
                if for_call and decision.goes_ahead:
                    card = scope.known.cards.get((question.provider, decision.model, question.service_tier))
                    hold = lease.take(decision.holds, card, asked_at)
                self._settling.add(scope, lease)
        self._let_go(gone, woken)
        if not self._closed:
            self._stream.start(scope.known.organisation)
        return scope, hold

    def _conclude(self, pending: Pending, scope: Scope, hold: Hold | None, answer: Answer) -> None:
        decision = answer.decision
        if decision.verdict is not Verdict.WAIT:
            pending.settle(Admission(decision, hold))
            if hold is not None and scope.sleeping:
                self._wake(scope)  # where one finds something, another may
            return
        now, longest = self._clock(), scope.known.policy.at_cap.wait_seconds
        if pending.waits_until is None:
            pending.waits_until = now + longest
        left = pending.waits_until - now
        if left <= 0:
            why = f"{decision.rationale}, waited={longest:g}s"
            pending.settle(Admission(replace(decision, verdict=Verdict.BLOCK, rationale=why)))
            return
        with self._book.lock:
            scope.sleeping.append(pending)
        self._timer.after(min(answer.retry_after, left), partial(self._retry, scope, pending))

    # --- what comes from elsewhere

    def _retry(self, scope: Scope, pending: Pending) -> None:
        """Let a call that sleeps try again, unless it has been woken or has gone."""
        with self._book.lock:
            if pending not in scope.sleeping:
                return
            scope.sleeping.remove(pending)
        self._enqueue(pending)

    def _wake(self, scope: Scope) -> None:
        """Let the call that has slept longest try again: something has come back."""
        with self._book.lock:
            while scope.sleeping and scope.sleeping[0].is_over:
                scope.sleeping.popleft()
            pending = scope.sleeping.popleft() if scope.sleeping else None
        if pending is not None:
            self._enqueue(pending)

    def _ahead(self, scope: Scope) -> None:
        """Have a lease asked for before it is needed."""
        if scope.asking or scope.last is None or self._clock() < scope.quiet_until:
            return
        if self._closed or self._breaker.is_open:
            return
        with self._book.lock:
            if scope.asking:
                return
            scope.asking += 1
        self._asking.put(partial(self._ask_ahead, scope, scope.last))

    def _ask_ahead(self, scope: Scope, question: Question) -> None:
        try:
            answer, asked_at = self._ask(question)
            found, _ = self._learn(question, answer, asked_at, for_call=False)
            if answer.lease is None:
                found.quiet_until = self._clock() + _QUIET_SECONDS
        except (Unreachable, Unknown):
            scope.quiet_until = self._clock() + _QUIET_SECONDS
        finally:
            self._serve(scope)

    def rules_changed(self, organisation: str, version: int) -> None:
        """See `Listener`: drop rules of another version, and let those that wait for money try again."""
        with self._book.lock:
            found = self._book.drop(lambda known: known.organisation == organisation and known.version != version)
        self._let_go(*found)

    def recalled(self) -> None:
        """See `Listener`: give back what has not been used for a moment."""
        self._settling.recall()

    def revoked(self) -> None:
        """See `Listener`: the key is not valid any more, so that the collector counts as unreachable."""
        self._breaker.open()
        with self._book.lock:
            found = self._book.drop(lambda _: True)
        self._let_go(*found)

    def _let_go(self, leases: list[Lease], woken: list[Pending]) -> None:
        for lease in leases:
            self._settling.give_back(lease)
        for pending in woken:
            self._enqueue(pending)

    def shutdown(self) -> None:
        """Deliver, give every lease back, and ask for none any more; only the first call does anything."""
        if self._closed:
            return
        self._closed = True
        self._stream.close()
        self._settling.shutdown(reachable=not self._breaker.is_open)
        self._asking.close()
        self._timer.close()
