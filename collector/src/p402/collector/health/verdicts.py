"""What is behind, in words: how each part stands, and what to do about it (pure).

The limits are those of the alerts (``alerts.yaml`` of the exporters), so that a page and a pager say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from p402.collector.health.behind import Behind, Queue, Unanchored

__all__ = ["State", "Verdict", "in_words", "verdicts"]

_MANY_CHARGES = 10_000
_FORWARD_SECONDS = 300
_ANCHOR_SECONDS = 7200
_SEAL_SECONDS = 900
_DELIVER_SECONDS = 3600
_EXPORT_SECONDS = 3600
_A_MOMENT = 60
_LEAST_FREE_BYTES = 1 << 30
_FEW_CHARGES = 100  # what comes in between two looks of a follower
_FOLLOWERS = {
    "sessions": ("Receipts", "charges that their sessions have not taken up"),
    "anomalies": ("Watch for anomalies", "charges that nobody has compared yet"),
    "usage": ("Sums for these pages", "charges that are in no sum yet"),
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class State(StrEnum):
    """How something stands."""

    WELL = "well"
    CATCHING_UP = "catching up"
    LOOK = "needs a look"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One part of a collector."""

    name: str
    state: State
    said: str
    """How it is, as a sentence without its stop."""
    advice: str | None = None
    """What to do, where there is something to do."""
    runbook: str | None = None
    """The section of the runbook about it."""


def verdicts(behind: Behind | None, checkpoint_limit: float) -> list[Verdict]:
    """Judge everything.

    Args:
        behind: what was found; None if the database could not be asked.
        checkpoint_limit: seconds after which an idle log is signed again.
    """
    if behind is None:
        return [
            Verdict(
                "Storage",
                State.LOOK,
                "the database takes no changes; senders keep their spans and try again",
                "See the collector's log (storage_unavailable): a full disk, a file of another owner, PostgreSQL away.",
                "p402storageunavailable",
            )
        ]
    found = [Verdict("Storage", State.WELL, "changes are taken and on disk when they are answered")]
    found += [_follower(name, charges) for name, charges in behind.followers.items()]
    found.append(_sessions(behind.sessions))
    found += [_forwarding(backend, queue) for backend, queue in behind.forwarding.items()]
    found.append(_deliveries(behind.deliveries))
    found.append(_settlement(behind.settlement))
    found.append(_checkpoint(behind.checkpoint_seconds, checkpoint_limit))
    found.append(_exports(behind.exports))
    if behind.disk_free_bytes is not None:
        found.append(_disk(behind.disk_free_bytes))
    return found


def in_words(seconds: float) -> str:
    """Write how long: ``8 s``, ``5 min``, ``3 h 20 min``, ``2 days``."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        minutes = whole % _HOUR // _MINUTE
        return f"{whole // _HOUR} h" + (f" {minutes} min" if minutes else "")
    days = whole // _DAY
    return f"{days} day{'s' if days > 1 else ''}"


def _follower(name: str, charges: int) -> Verdict:
    title, what = _FOLLOWERS.get(name, (name.capitalize(), "charges to follow"))
    if charges <= _FEW_CHARGES:
        return Verdict(title, State.WELL, "up to the newest charge" if not charges else f"{charges} {what}, as usual")
    if charges <= _MANY_CHARGES:
        return Verdict(title, State.CATCHING_UP, f"{charges:,} {what}")
    advice = "Nothing is lost. If it grows for an hour, the collector's log has task_failed with the cause."
    return Verdict(title, State.LOOK, f"{charges:,} {what}", advice, "p402followerbehind")


def _sessions(queue: Queue) -> Verdict:
    well = Verdict("Sessions to seal", State.WELL, "every session that is over has its receipt")
    if not queue.waiting:
        return well
    said = f"{_so_many(queue, 'session')} over, without a receipt"
    advice = "Nothing is lost. If it grows, the collector's log has task_failed with the cause."
    return _judged(well.name, queue, _SEAL_SECONDS, said, advice, "p402followerbehind")


def _forwarding(backend: str, queue: Queue) -> Verdict:
    name = f"Forwarding to {backend}"
    if not queue.waiting:
        return Verdict(name, State.WELL, "every span was sent on")
    said = f"{_so_many(queue, 'span')} to be sent on"
    advice = "See what the backend answers in the collector's log (forwarding_waits). Nothing is lost until the queue is full."
    return _judged(name, queue, _FORWARD_SECONDS, said, advice, "p402forwardingbehind")


def _deliveries(queue: Queue) -> Verdict:
    name = "Deliveries of events"
    if not queue.waiting:
        return Verdict(name, State.WELL, "every event was delivered")
    said = f"{_so_many(queue, 'delivery', 'deliveries')} due"
    advice = "Is the receiver well? What it answered is in the list of events (GET /v1/events)."
    return _judged(name, queue, _DELIVER_SECONDS, said, advice, "p402eventsnotdelivered")


def _settlement(found: Unanchored | None) -> Verdict:
    name = "Settlement"
    if found is None:
        return Verdict(name, State.WELL, "switched off: receipts are sealed and signed, and not anchored")
    if found.in_doubt:
        said = f"nobody knows of {found.in_doubt} payment{'s' if found.in_doubt > 1 else ''} whether the chain has it"
        advice = "Look for the transaction, then say what became of it: p402 settle resolve."
        return Verdict(name, State.LOOK, said, advice, "p402settlementindoubt")
    under_way = f"; {found.under_way} under way" if found.under_way else ""
    if not found.receipts.waiting:
        return Verdict(name, State.WELL, f"every receipt is anchored{under_way}")
    said = f"{_so_many(found.receipts, 'receipt')} not anchored yet{under_way}"
    if found.receipts.oldest_seconds > _ANCHOR_SECONDS:
        return Verdict(name, State.LOOK, said, "p402 settle status says why.", "p402receiptsnotanchored")
    return Verdict(name, State.WELL, f"{said}: the next settlement anchors them")


def _checkpoint(seconds: float | None, limit: float) -> Verdict:
    name = "Checkpoints"
    if seconds is None:
        return Verdict(name, State.WELL, "no log has an entry yet")
    said = f"the log that was signed longest ago: {in_words(seconds)} ago"
    if seconds <= limit + _SEAL_SECONDS:
        return Verdict(name, State.WELL, said)
    advice = f"A log is signed every {in_words(limit)} at least. The collector's log has task_failed with the cause."
    return Verdict(name, State.LOOK, said, advice, "p402followerbehind")


def _exports(queue: Queue) -> Verdict:
    if not queue.waiting:
        return Verdict("Exports", State.WELL, "none is waiting")
    said = f"{_so_many(queue, 'export')} to be written"
    advice = "The collector's log has task_failed with the cause, or the disk is full."
    return _judged("Exports", queue, _EXPORT_SECONDS, said, advice, "p402storageunavailable")


def _disk(free: int) -> Verdict:
    said = f"{free / 1e9:,.1f} GB free where the collector keeps its files"
    if free >= _LEAST_FREE_BYTES:
        return Verdict("Disk", State.WELL, said)
    advice = "Make room, or lower P402_EXPORT_MAX_BYTES and P402_FORWARD_MAX_BYTES. When it is full, senders wait."
    return Verdict("Disk", State.LOOK, said, advice, "p402storageunavailable")


def _so_many(queue: Queue, one: str, several: str | None = None) -> str:
    noun = one if queue.waiting == 1 else several or f"{one}s"
    return f"{queue.waiting:,} {noun}"


def _judged(name: str, queue: Queue, limit: float, said: str, advice: str, runbook: str) -> Verdict:
    """Judge a queue by the age of its oldest: for a moment, that is how things are."""
    for_long = f"{said}, the oldest for {in_words(queue.oldest_seconds)}"
    if queue.oldest_seconds > limit:
        return Verdict(name, State.LOOK, for_long, advice, runbook)
    return Verdict(name, State.WELL if queue.oldest_seconds <= _A_MOMENT else State.CATCHING_UP, for_long)
