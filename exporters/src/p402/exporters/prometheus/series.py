"""How many series a metric may have (pure). Names come from outside: what is beyond the ceiling counts as ``other``."""

from __future__ import annotations

__all__ = ["OTHER", "Ceiling"]

OTHER = "other"
_MOST_COARSE = 50


class Ceiling:
    """Decides which series of a metric exist.

    Args:
        most: series that are told apart. Beyond it the last label becomes ``other``, and where that makes more than
            fifty others, all labels do.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[tuple[str, ...]] = set()
        self._coarse: set[tuple[str, ...]] = set()

    def series(self, *labels: str) -> tuple[str, ...]:
        """Give the labels that something with these labels is counted under."""
        if labels in self._known:
            return labels
        if len(self._known) < self._most:
            self._known.add(labels)
            return labels
        coarse = (*labels[:-1], OTHER)
        if coarse in self._coarse or len(self._coarse) < _MOST_COARSE:
            self._coarse.add(coarse)
            return coarse
        return (OTHER,) * len(labels)
