"""Checking a receipt where people read it: with the verifier that an auditor runs, and against the ledger besides.

What is pinned here are the keys in this collector's own files, and the node that it settles by. An auditor who does not
trust this collector runs ``p402-verify`` elsewhere, with keys that they were given by another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p402.receipts import ChainReader, Check, Link, Outcome, PinnedKey, Status, Trust, verify

__all__ = ["IN_LEDGER", "Finding", "Verification", "verify_receipt"]

IN_LEDGER = "ledger"
"""The link that only this collector can check: the calls that it has are those that were sealed."""

_TITLES = {
    Link.FORMAT: "The bundle can be read",
    Link.BODY: "The receipt is whole",
    Link.CHECKPOINT: "The log was signed with a known key",
    Link.INCLUSION: "The receipt is in the log, byte for byte",
    Link.CONSISTENCY: "All states of the log are of one log",
    Link.COMPLETE: "Nothing of the range is missing",
    Link.DISCLOSURES: "The names belong to the receipt",
    Link.STATEMENT: "The settlement names that state of the log",
    Link.MEMO: "The settlement is the one that was put onto the chain",
    Link.ANCHOR: "The chain has it, in a finalized block",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    link: str
    title: str
    subject: str
    status: Status
    sentence: str

    @classmethod
    def of(cls, check: Check) -> Finding:
        """Show a check of the verifier."""
        return cls(check.link.value, _TITLES[check.link], check.subject, check.status, check.sentence)

    @classmethod
    def in_ledger(cls, subject: str, status: Status, sentence: str) -> Finding:
        """Tell of the ledger."""
        return cls(IN_LEDGER, "The calls in the ledger are those that were sealed", subject, status, sentence)


@dataclass(frozen=True, slots=True)
class Verification:
    """Every check, and what they come to."""

    findings: Sequence[Finding]

    @property
    def outcome(self) -> Outcome:
        """Verified only if everything was checked and holds."""
        found = {finding.status for finding in self.findings}
        if Status.FAILED in found:
            return Outcome.FAILED
        return Outcome.VERIFIED if found == {Status.OK} else Outcome.INCOMPLETE

    @property
    def broken(self) -> Finding | None:
        """The first broken link, in the order in which they hang together."""
        order = [*(link.value for link in Link), IN_LEDGER]
        failed = [finding for finding in self.findings if finding.status is Status.FAILED]
        return min(failed, key=lambda finding: order.index(finding.link), default=None)

    @property
    def unchecked(self) -> list[str]:
        """What was not checked, by title."""
        return list(dict.fromkeys(one.title for one in self.findings if one.status is Status.NOT_CHECKED))


def verify_receipt(
    bundle: bytes, keys: Sequence[PinnedKey], rpc: ChainReader | None, in_ledger: Finding
) -> Verification:
    """Check the bundle of a receipt; asks the node, so this is for a thread.

    Args:
        bundle: as it would be given to an auditor.
        keys: of the log.
        rpc: a node of the chain; None: anchors stay unchecked.
        in_ledger: what comparing with the ledger found.
    """
    report = verify(bundle, Trust(verifier_keys=tuple(keys), rpc=rpc))
    return Verification((*map(Finding.of, report.checks), in_ledger))
