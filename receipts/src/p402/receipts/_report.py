"""What checking a bundle found, link by link."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Check", "Link", "Outcome", "Report", "Status"]


class Link(StrEnum):
    """A link of the chain from a receipt's bytes to a block, in the order in which they hang together."""

    FORMAT = "format"
    """The file is a bundle."""
    BODY = "body"
    """The receipt is canonical JSON and an entry that this release knows."""
    CHECKPOINT = "checkpoint"
    """A pinned key signed the checkpoint."""
    INCLUSION = "inclusion"
    """The receipt, byte for byte, is in the log under that checkpoint, at the place that it names."""
    CONSISTENCY = "consistency"
    """The states of the log that are spoken of are one log that only grew."""
    COMPLETE = "complete"
    """Of the range that the bundle covers no entry is missing."""
    DISCLOSURES = "disclosures"
    """What is disclosed opens commitments in the receipt."""
    STATEMENT = "statement"
    """The settlement statement is well-formed, adds up, and names that checkpoint and organisation."""
    MEMO = "memo"
    """The statement is the one whose hash the bundle says is on the chain."""
    ANCHOR = "anchor"
    """The chain has it: the exact transfer with that memo, in a finalized block."""


class Status(StrEnum):
    """What a check found."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


class Outcome(StrEnum):
    """What all checks come to."""

    VERIFIED = "verified"
    """Every link holds."""
    FAILED = "failed"
    """A link is broken."""
    INCOMPLETE = "incomplete"
    """No link is broken, but not every one was checked."""


@dataclass(frozen=True, slots=True)
class Check:
    """One link of one receipt or anchor."""

    link: Link
    subject: str
    """The id of the receipt or settlement, else where it is in the bundle."""
    status: Status
    sentence: str
    """What was found; when broken, what to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """Every check of a bundle."""

    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        """Verified only if every link was checked and holds."""
        found = {check.status for check in self.checks}
        if Status.FAILED in found:
            return Outcome.FAILED
        return Outcome.VERIFIED if found == {Status.OK} else Outcome.INCOMPLETE

    @property
    def broken(self) -> Link | None:
        """The first broken link of the chain, whichever receipt it belongs to."""
        links = {check.link for check in self.checks if check.status is Status.FAILED}
        return next((link for link in Link if link in links), None)

    def to_json(self) -> dict[str, Any]:
        """Give the report as a JSON value."""
        return {
            "outcome": self.outcome.value,
            "broken": None if self.broken is None else self.broken.value,
            "checks": [
                {"link": item.link, "subject": item.subject, "status": item.status, "sentence": item.sentence}
                for item in self.checks
            ],
        }
