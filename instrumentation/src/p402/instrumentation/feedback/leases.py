"""A lease that is held: what was granted, less what finished calls cost, less what calls under way may (pure).

Thread-safe, and safe where a garbage collector strikes: a call that ends there, in the middle of `take`, is put aside
and accounted for a moment later.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping

from p402.decisions import Measure, RateCard, UnpriceableUsage
from p402.vocabulary import Usage

__all__ = ["Hold", "Lease"]

_Amounts = dict[Measure, int]

# Looked up once: reading a member of an enum takes longer than the arithmetic here.
_COST, _TOKENS, _REQUESTS, _CONCURRENCY = Measure.COST, Measure.TOKENS, Measure.REQUESTS, Measure.CONCURRENCY


class Lease:
    """Amounts by measure out of which calls are paid."""

    def __init__(
        self,
        id_: str,
        granted: Mapping[Measure, int],
        expires_at: float,
        now: float,
        on_finish: Callable[[Lease], None] = lambda _: None,
    ) -> None:
        self.id = id_
        self.granted = dict(granted)
        self.expires_at = expires_at
        """In seconds of the holder's own clock."""
        self.used_at = now
        self.draining = False
        """Whether no new call may take anything, so that what is left goes back."""
        self.is_low = False
        """Whether less than a quarter is left of what calls use up."""
        self.closed = False
        """Whether the collector has all of it again."""
        self._on_finish = on_finish
        self._spent = dict.fromkeys(self.granted, 0)
        self._held = dict.fromkeys(self.granted, 0)
        self._calls = 0
        self._under_way = 0
        self._finished: deque[tuple[_Amounts, _Amounts | None]] = deque()
        self._lock = threading.Lock()

    def available(self) -> _Amounts:
        """Give what a new call may take; nothing is negative."""
        self._catch_up()
        with self._lock:
            spent, held = self._spent, self._held
            left = {measure: amount - spent[measure] - held[measure] for measure, amount in self.granted.items()}
        return left if min(left.values(), default=0) >= 0 else {one: max(0, amount) for one, amount in left.items()}

    def take(self, holds: Mapping[Measure, int], card: RateCard | None, now: float) -> Hold | None:
        """Take what a call may need, by every measure that is limited; None if there is not so much, or it is too late."""
        taken = {measure: holds.get(measure, 0) for measure in self.granted}
        low = False
        with self._lock:
            if self.draining or now >= self.expires_at:
                return None
            for measure, amount in taken.items():
                granted = self.granted[measure]
                left = granted - self._spent[measure] - self._held[measure] - amount
                if left < 0:
                    return None
                low = low or (4 * left < granted and measure is not _CONCURRENCY)
            for measure, amount in taken.items():
                self._held[measure] += amount
            self._under_way += 1
        self.used_at, self.is_low = now, low
        if self._finished:
            self._catch_up()
        return Hold(self, taken, card)

    def drain(self) -> None:
        """Let no new call take anything."""
        with self._lock:
            self.draining = True
        self._catch_up()

    def state(self) -> tuple[int, _Amounts]:
        """Give the number of billed calls, and what those under way still need; nothing if there are none."""
        self._catch_up()
        with self._lock:
            return self._calls, dict(self._held) if self._under_way else {}

    @property
    def under_way(self) -> int:
        """How many calls have not finished."""
        self._catch_up()
        return self._under_way

    def finish(self, taken: _Amounts, cost: _Amounts | None) -> None:
        """Account for a finished call: what it took comes back, less what it cost; None: it was not billed."""
        self._finished.append((taken, cost))
        self._catch_up()
        self._on_finish(self)

    def _catch_up(self) -> None:
        # Whoever holds the lock looks again after letting go of it, so nothing stays here.
        while self._finished and self._lock.acquire(blocking=False):
            try:
                while self._finished:
                    taken, cost = self._finished.popleft()
                    self._under_way -= 1
                    self._calls += cost is not None
                    for measure, amount in taken.items():
                        self._held[measure] -= amount
                        if cost is not None:
                            self._spent[measure] += cost.get(measure, 0)
            finally:
                self._lock.release()


class Hold:
    """What one call has taken from a lease."""

    __slots__ = ("_card", "_left", "_taken", "lease")

    def __init__(self, lease: Lease, taken: _Amounts, card: RateCard | None) -> None:
        self.lease = lease
        self._taken = taken
        self._card = card
        self._left = [None]  # popping it is one step

    def finish(self, usage: Usage | None, *, as_priced: bool = True) -> None:
        """Give back what the call did not use; only the first call of this does anything.

        Args:
            usage: what it used; None if it was not billed.
            as_priced: False if it was served at a price that is not known here: then all that was taken counts as spent.
        """
        try:
            self._left.pop()
        except IndexError:
            return
        self.lease.finish(self._taken, None if usage is None else self._cost(usage, as_priced=as_priced))

    def _cost(self, usage: Usage, *, as_priced: bool) -> _Amounts:
        cost = {_TOKENS: usage.total_tokens, _REQUESTS: 1}
        if not as_priced:
            cost[_COST] = self._taken.get(_COST, 0)
        elif self._card is not None:
            try:
                cost[_COST] = self._card.cost(usage).nano_usd
            except UnpriceableUsage:
                cost[_COST] = 0  # the collector will not charge it either
        return cost
