"""Gives leases back: spans first, since the collector releases nothing before it has the charges; then what is left.

Whatever is left of a lease goes back when a newer one has come, when rules change, when somebody waits for money, after
five idle seconds, before it expires, and at the exit; where little is left, as soon as a call has finished.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from p402.instrumentation.feedback.known import Scope
from p402.instrumentation.feedback.lanes import Lane, Timer
from p402.instrumentation.feedback.leases import Lease
from p402.instrumentation.feedback.transport import Transport, Unknown, Unreachable
from p402.instrumentation.feedback.wire import settlement

__all__ = ["Settling"]

_LOOK_SECONDS = 1.0
_IDLE_SECONDS = 5.0
_RECALL_SECONDS = 0.25
"""A lease that has been used since is busy, and is not given back when somebody else waits."""
_AHEAD_SECONDS = 5.0
_BEFORE_END_SECONDS = 2.0
_AGAIN, _LONGEST_AGAIN = 0.25, 5.0
_KEPT_SECONDS = 120.0
"""For how long after its end it is tried to give a lease back; after that the collector looks after it."""
_EXIT_SECONDS = 2.0


class Settling:
    """Looks after all leases of a process until the collector has them back."""

    def __init__(
        self,
        transport: Transport,
        flush: Callable[[], None],
        timer: Timer,
        wake: Callable[[Scope], None],
        ahead: Callable[[Scope], None],
        clock: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._flush = flush
        self._timer = timer
        self._wake = wake
        self._ahead = ahead
        self._clock = clock
        self._lane = Lane("settling", 1, transport.forget)
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Scope, Lease]] = {}
        self._queued: set[str] = set()
        self._looking = False

    def add(self, scope: Scope, lease: Lease) -> None:
        """Take over a new lease; older ones of its calls are given back."""
        with self._lock:
            older, scope.leases = scope.leases, (lease,)
            self._open[lease.id] = scope, lease
            look, self._looking = not self._looking, True
        self._lane.start()  # a finalizer that puts the first job there could not
        for one in older:
            self.give_back(one)
        if lease.draining:
            self.give_back(lease)
        if look:
            self._timer.after(_LOOK_SECONDS, partial(self._lane.put, self._look))

    def give_back(self, lease: Lease) -> None:
        """Let a lease take no new call, and give back what those under way do not need."""
        lease.drain()
        with self._lock:
            if lease.id in self._queued:
                return
            self._queued.add(lease.id)
        self._lane.put(partial(self._settle, lease, _AGAIN))

    def call_finished(self, scope: Scope, lease: Lease) -> None:
        """Hear that a call under a lease has finished; may be called anywhere, even by a finalizer."""
        if lease.draining or scope.is_tight or scope.sleeping:
            self._lane.put(partial(self._after_call, scope, lease))

    def recall(self) -> None:
        """Give back what is idle: somebody waits."""
        now = self._clock()
        for _, lease in self._all():
            if now - lease.used_at >= _RECALL_SECONDS:
                self.give_back(lease)

    def shutdown(self, *, reachable: bool) -> None:
        """Deliver and give everything back, if the collector can be reached; that is waited for two seconds at most."""
        leases = [lease for _, lease in self._all()]
        for lease in leases:
            lease.drain()
        if leases and reachable:
            done = threading.Event()
            self._lane.put(partial(self._settle_all, leases, done))  # its thread runs: there have been leases
            done.wait(_EXIT_SECONDS)
        self._lane.close()

    def _settle_all(self, leases: Sequence[Lease], done: threading.Event) -> None:
        try:
            self._flush()
            for lease in leases:
                self._settle_once(lease)
        finally:
            done.set()

    def _all(self) -> list[tuple[Scope, Lease]]:
        with self._lock:
            return list(self._open.values())

    def _after_call(self, scope: Scope, lease: Lease) -> None:
        if lease.draining or scope.sleeping or (scope.is_tight and not lease.under_way):
            self.give_back(lease)

    def _settle(self, lease: Lease, pause: float) -> None:
        with self._lock:
            self._queued.discard(lease.id)
            known = self._open.get(lease.id)
        if known is None:
            return
        calls, _ = lease.state()
        if calls:
            self._flush()
        if self._settle_once(lease):
            self._wake(known[0])
        elif self._clock() < lease.expires_at + _KEPT_SECONDS:
            again = partial(self._settle, lease, min(_LONGEST_AGAIN, 2 * pause))
            self._timer.after(pause, partial(self._lane.put, again))
        else:
            self._forget(lease)

    def _settle_once(self, lease: Lease) -> bool:
        """Tell the collector how a lease stands; False if it must be told again."""
        calls, keep = lease.state()
        try:
            answer = self._transport.post(f"/v1/leases/{lease.id}/settle", settlement(calls, keep))
            if int(answer["missing_calls"]) > 0:
                return False
        except Unknown:
            self._forget(lease)
            return True
        except (Unreachable, ValueError, KeyError, TypeError):
            return False
        if not keep:
            self._forget(lease)
        return True

    def _forget(self, lease: Lease) -> None:
        lease.closed = True
        with self._lock:
            scope, _ = self._open.pop(lease.id, (None, None))
            if scope is not None:
                scope.leases = tuple(one for one in scope.leases if one is not lease)

    def _look(self) -> None:
        """Once a second, while there are leases: renew what is in use, give back what is not."""
        now = self._clock()
        for scope, lease in self._all():
            if lease.draining:
                continue
            idle = now - lease.used_at >= _IDLE_SECONDS
            if idle or now >= lease.expires_at - _BEFORE_END_SECONDS:
                self.give_back(lease)
            elif now >= lease.expires_at - _AHEAD_SECONDS:
                self._ahead(scope)
        with self._lock:
            self._looking = bool(self._open)
        if self._looking:
            self._timer.after(_LOOK_SECONDS, partial(self._lane.put, self._look))
