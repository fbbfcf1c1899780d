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
    _grown_to: dict[int, set[int]] = field(default_factory=dict)
    """By size: the sizes of later states that are proved to begin with it."""
    _refuted: set[int] = field(default_factory=set)
    _signed: set[int] = field(default_factory=set)
    _checks: list[Check] = field(default_factory=list)

    def add(self, checkpoint: Checkpoint, name: str, *, signed: bool) -> None:
        """Take in a state: of a signed checkpoint, or of one that a statement names."""
        size = checkpoint.size
        known = self._known.setdefault(size, checkpoint)
        self._named.setdefault(size, name)
        self._grown_to.setdefault(size, set())
        if signed:
            self._signed.add(size)
        if known.origin != checkpoint.origin:
            said = f"{name} is of the log {checkpoint.origin}, {self._named[size]} of {known.origin}."
            self._fail(name, said)
        elif known.root != checkpoint.root:
            said = f"{self._named[size]} and {name} have {size} entries and different roots: the log was forked or rewritten."
            self._fail(name, said)

    def tie(self) -> None:
        """Use the proofs: what they lead to begins with what they lead from."""
        for proof in self.proofs:
            old, new = self._known.get(proof.old), self._known.get(proof.new)
            if old is None or new is None:
                continue  # it is about states that nothing here refers to
            name = f"{proof.old} to {proof.new} entries"
            if old.origin != new.origin:
                self._fail(name, f"The proof is between two logs, {old.origin} and {new.origin}.")
                continue
            try:
                hashes = [bytes.fromhex(item) for item in proof.hashes]
                verify_consistency(old.size, new.size, old.root, new.root, hashes)
            except ProofRefuted as error:
                self._refuted |= {old.size, new.size}
                self._fail(name, str(error))
            else:
                self._grown_to[old.size].add(new.size)

    @property
    def signed_size(self) -> int:
        """Of the largest signed state; 0 if none is."""
        return max(self._signed, default=0)

    def are_one_log(self, one: int, other: int) -> bool:
        """Tell whether states of two sizes are proved to be of one log: some state begins with both.

        That both begin with an earlier state proves nothing: so do the two branches of a fork.
        """
        return not self._later(one).isdisjoint(self._later(other))

    def _later(self, size: int) -> set[int]:
        """Give the sizes of the states that are proved to begin with one: its own, and later ones at any remove."""
        found, rest = set(), [size] if size in self._known else []
        while rest:
            if (current := rest.pop()) not in found:
                found.add(current)
                rest.extend(self._grown_to[current])
        return found

    def checks(self) -> Iterator[Check]:
        """Say what was found about all states together."""
        yield from self._checks
        if self._checks:
            return
        sizes = sorted(self._known)
        apart = [size for size in sizes if not self.are_one_log(sizes[-1], size)]
        if apart:
            sentence = f"No proof says that the log of {sizes[-1]} entries begins with that of {apart[-1]}: {_ask(apart[-1], sizes[-1])}."
            yield Check(Link.CONSISTENCY, "log", Status.NOT_CHECKED, sentence)
        elif len(sizes) > 1:
            sentence = (
                f"Its {len(sizes)} states here, from {sizes[0]} to {sizes[-1]} entries, are one log that only grew."
            )
            yield Check(Link.CONSISTENCY, "log", Status.OK, sentence)

    def check_pinned(self, pinned: Checkpoint) -> Check:
        """Say whether the log that somebody pinned earlier is the beginning of the one here, in all its signed states."""
        subject = f"pinned checkpoint of {pinned.size} entries"
        if pinned.size in self._refuted or any(check.subject == subject for check in self._checks):
            sentence = "The log here does not begin with the one that you pinned: it was rewritten or forked."
            return Check(Link.CONSISTENCY, subject, Status.FAILED, sentence)
        untied = sorted(size for size in self._signed if not self.are_one_log(pinned.size, size))
        if not self._signed:
            sentence = "There is no trusted checkpoint to compare it with."
        elif not untied:
            sentence = f"The log that you pinned at {pinned.size} entries is this one, and only grew."
            return Check(Link.CONSISTENCY, subject, Status.OK, sentence)
        elif pinned.size > (newest := self.signed_size):
            sentence = (
                f"You pinned a log of {pinned.size} entries, this bundle knows {newest} and proves nothing about the others: it "
                f"is older than your checkpoint, or the log was cut. {_ask(newest, pinned.size).capitalize()}. "
                "A log that was cut has none."
            )
        else:
            old, new = sorted((pinned.size, untied[-1]))
            sentence = f"The bundle has no proof from {old} to {new} entries: {_ask(old, new)}. A log that was rewritten has none."
        return Check(Link.CONSISTENCY, subject, Status.NOT_CHECKED, sentence)

    def _fail(self, name: str, sentence: str) -> None:
        self._checks.append(Check(Link.CONSISTENCY, name, Status.FAILED, sentence))


def _ask(old: int, new: int) -> str:
    return f"ask the operator for /v1/consistency?from={old}&to={new}, or for a bundle with it"
