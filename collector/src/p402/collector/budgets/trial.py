"""What a cap would have done to calls that were made (pure).

The calls are run past the cap in the order in which they began: one that costs more than what is left is refused, and takes
nothing. That is the most favourable view of a cap. A real decision is made before a call, and wants room for the longest
answer that it may get, so it begins to refuse a little earlier; and a policy may shorten an answer, take a cheaper model, or
wait, where this refuses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Trial", "tried", "tried_each"]


@dataclass(slots=True)
class Trial:
    """What would have become of the calls of one node in one period; amounts are of the budget's measure."""

    calls: int = 0
    amount: int = 0
    """What they took, without the cap."""
    most: int = 0
    """The most that counted against a cap at once: all of it, or what fell into one length of a rolling period."""
    reached_at: int | None = None
    """When the first call was refused, in milliseconds since 1970; None if none was."""
    refused: int = 0
    refused_amount: int = 0

    def refuse(self, at: int, amount: int) -> None:
        """Count a call that would not have been made."""
        self.refused += 1
        self.refused_amount += amount
        if self.reached_at is None:
            self.reached_at = at


def tried(calls: Iterable[tuple[int, int]], cap: int, length: int | None = None, since: int = 0) -> Trial:
    """Run calls past a cap.

    Args:
        calls: when each began, in milliseconds since 1970, and what it took; in the order in which they began.
        cap: on all of them, or on those within ``length``.
        length: of a rolling period, in milliseconds.
        since: calls before this only fill a rolling period; they are not counted.
    """
    trial = Trial()
    taken, present = 0, 0
    under_cap: deque[tuple[int, int]] = deque()
    all_: deque[tuple[int, int]] = deque()
    for at, amount in calls:
        if length is not None:
            taken -= _forget(under_cap, at - length)
            present -= _forget(all_, at - length)
            all_.append((at, amount))
        present += amount
        fits = taken + amount <= cap
        if fits:
            taken += amount
            if length is not None:
                under_cap.append((at, amount))
        if at < since:
            continue
        trial.calls += 1
        trial.amount += amount
        trial.most = max(trial.most, present)
        if not fits:
            trial.refuse(at, amount)
    return trial


def tried_each(calls: Iterable[tuple[int, int]], ceiling: int) -> Trial:
    """Hold each call against a ceiling of its own."""
    trial = Trial()
    for at, amount in calls:
        trial.calls += 1
        trial.amount += amount
        trial.most = max(trial.most, amount)
        if amount > ceiling:
            trial.refuse(at, amount)
    return trial


def _forget(calls: deque[tuple[int, int]], before: int) -> int:
    """Take away what began at a time or before it; gives its sum."""
    gone = 0
    while calls and calls[0][0] <= before:
        gone += calls.popleft()[1]
    return gone
