"""Whether several checkpoints are states of one log that only grew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from p402.receipts._bundle import BundledConsistency
from p402.receipts._note import Checkpoint
from p402.receipts._report import Check, Link, Status
from p402.receipts.errors import ProofRefuted
from p402.receipts.merkle import verify_consistency

__all__ = ["States"]


@dataclass
class States:
    """The states of a log that a bundle is about, and which of them are proved to be of one log."""

    proofs: Sequence[BundledConsistency]
    _known: dict[int, Checkpoint] = field(default_factory=dict)
    _named: dict[int, str] = field(default_factory=dict)
    _tied_to: dict[int, int] = field(default_factory=dict)
    """By size: another size that it is tied to, or itself. Following it to the end gives one size for each log."""
    _refuted: set[int] = field(default_factory=set)
    _signed: set[int] = field(default_factory=set)
    _checks: list[Check] = field(default_factory=list)

    def add(self, checkpoint: Checkpoint, name: str, *, signed: bool) -> None:
        """Take in a state: of a signed checkpoint, or of one that a statement names."""
        size = checkpoint.size
        known = self._known.setdefault(size, checkpoint)
        self._named.setdefault(size, name)
        self._tied_to.setdefault(size, size)
        if signed:
            self._signed.add(size)
        if known.origin != checkpoint.origin:
            said = f"{name} is of the log {checkpoint.origin}, {self._named[size]} of {known.origin}."
            self._fail(name, said)
        elif known.root != checkpoint.root:
            said = f"{self._named[size]} and {name} have {size} entries and different roots: the log was forked or rewritten."
            self._fail(name, said)

    def tie(self) -> None:
        """Use the proofs: what they lead from and to is one log."""
        for proof in self.proofs:
            old, new = self._known.get(proof.old), self._known.get(proof.new)
            if old is None or new is None:
                continue  # it is about states that nothing here refers to
            name = f"{proof.old} to {proof.new} entries"
            try:
                hashes = [bytes.fromhex(item) for item in proof.hashes]
                verify_consistency(old.size, new.size, old.root, new.root, hashes)
            except ProofRefuted as error:
                self._refuted |= {old.size, new.size}
                self._fail(name, str(error))
            else:
                self._tied_to[self._end(new.size)] = self._end(old.size)

    def are_one_log(self, *sizes: int) -> bool:
        """Tell whether states of these sizes are proved to be of one log."""
        return all(size in self._known for size in sizes) and len(set(map(self._end, sizes))) == 1

    def _end(self, size: int) -> int:
        while self._tied_to[size] != size:
            self._tied_to[size] = size = self._tied_to[self._tied_to[size]]
        return size

    def checks(self, *, can_be_tied: bool) -> Iterator[Check]:
        """Say what was found about all states together.

        Args:
            can_be_tied: whether the bundle's version has proofs that would tie them.
        """
        yield from self._checks
        if self._checks:
            return
        sizes = sorted(self._known)
        apart = [size for size in sizes if not self.are_one_log(sizes[-1], size)]
        if apart and can_be_tied:
            sentence = (
                f"No proof says that the log of {sizes[-1]} entries begins with that of {apart[-1]}: ask the operator for "
                f"/v1/consistency?from={apart[-1]}&to={sizes[-1]}, or for a bundle with it."
            )
            yield Check(Link.CONSISTENCY, "log", Status.NOT_CHECKED, sentence)
        elif len(sizes) > 1 and not apart:
            sentence = (
                f"Its {len(sizes)} states here, from {sizes[0]} to {sizes[-1]} entries, are one log that only grew."
            )
            yield Check(Link.CONSISTENCY, "log", Status.OK, sentence)

    def check_pinned(self, pinned: Checkpoint) -> Check:
        """Say whether the log that somebody pinned earlier is the beginning of the one here."""
        subject = f"pinned checkpoint of {pinned.size} entries"
        signed = sorted(self._signed)
        tied = [size for size in signed if size != pinned.size and self.are_one_log(pinned.size, size)]
        if pinned.size in self._refuted or any(check.subject == subject for check in self._checks):
            sentence = "The log here does not begin with the one that you pinned: it was rewritten or forked."
            return Check(Link.CONSISTENCY, subject, Status.FAILED, sentence)
        if tied or pinned.size in self._signed:
            sentence = f"The log that you pinned at {pinned.size} entries is this one, and only grew."
            return Check(Link.CONSISTENCY, subject, Status.OK, sentence)
        if not signed:
            return Check(
                Link.CONSISTENCY, subject, Status.NOT_CHECKED, "There is no trusted checkpoint to compare it with."
            )
        if pinned.size > signed[-1]:
            sentence = (
                f"You pinned a log of {pinned.size} entries, this bundle knows {signed[-1]} and proves nothing about the "
                "others: the log was cut, or the bundle is older than your checkpoint. Ask for a new bundle."
            )
            return Check(Link.CONSISTENCY, subject, Status.FAILED, sentence)
        sentence = (
            f"The bundle has no proof from {pinned.size} entries on: ask the operator for "
            f"/v1/consistency?from={pinned.size}&to={signed[-1]}, or for a bundle with it. A log that was rewritten has none."
        )
        return Check(Link.CONSISTENCY, subject, Status.NOT_CHECKED, sentence)

    def _fail(self, name: str, sentence: str) -> None:
        self._checks.append(Check(Link.CONSISTENCY, name, Status.FAILED, sentence))
