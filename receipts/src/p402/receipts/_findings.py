"""Runs the checks of one part of a bundle, and notes what they find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from p402.receipts._report import Check, Link, Status
from p402.vocabulary import Permanent, Transient

__all__ = ["Findings"]

T = TypeVar("T")


class Findings:
    """What was found of one receipt, anchor or checkpoint."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        """Where it is in the bundle, until its id is known."""
        self._found: list[tuple[Link, Status, str]] = []

    @property
    def checks(self) -> list[Check]:
        """What was found, in the order in which it was."""
        return [Check(link, self.subject, status, sentence) for link, status, sentence in self._found]

    def add(self, link: Link, status: Status, sentence: str) -> None:
        """Note what was found of a link."""
        self._found.append((link, status, sentence))

    def run(self, link: Link, step: Callable[..., tuple[T, str]], *inputs: Any) -> T | None:
        """Run a step that gives a value and a sentence, or raises; None when the link does not hold.

        An input of None is the result of an earlier link that does not hold: then this one cannot be checked.
        """
        if None in inputs:
            self.add(link, Status.NOT_CHECKED, "It depends on a link that is broken or was not checked.")
            return None
        try:
            value, sentence = step(*inputs)
        except Transient as error:
            self.add(link, Status.NOT_CHECKED, str(error))
            return None
        except Permanent as error:
            self.add(link, Status.FAILED, str(error))
            return None
        self.add(link, Status.OK, sentence)
        return value
