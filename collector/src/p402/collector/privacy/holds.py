"""Legal holds: what of the records they keep from being erased or pruned (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from p402.collector.privacy.vault_keys import PERSON, SESSION
from p402.vocabulary import Attribution, Permanent

__all__ = ["Held", "Hold", "Locate", "matters_over"]

Locate = Callable[[str, str, str], bytes]
"""Gives the place of a subject by kind, organisation and name; see `vault_keys.VaultKeys.locate`."""


class Held(Permanent):
    """Legal holds keep all that was to be erased; the message names their matters."""

    def __init__(self, matters: Iterable[str]) -> None:
        self.matters = list(matters)
        super().__init__(
            f"Nothing is erased: all that there is is under legal hold for {', '.join(self.matters)}, which goes before "
            "erasure (GDPR Art. 17(3)(e)). GET /v1/holds lists the holds; erase again when they are released."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What one hold holds: everything of an organisation that fits all that is not None."""

    id: str
    organisation: str
    matter: str
    department: str | None = None
    project: str | None = None
    client: str | None = None
    person: bytes | None = None
    """The place of an employee: holds do not keep names."""
    session: bytes | None = None
    begins_at: int | None = None
    """Milliseconds; the first that is held."""
    ends_at: int | None = None
    """The first that is not held any more."""

    def holds_all_of(self, person: bytes) -> bool:
        """Tell whether nothing of a person is free."""
        narrowed = (self.department, self.project, self.client, self.session, self.begins_at, self.ends_at)
        return self.person in (None, person) and not any(value is not None for value in narrowed)

    def covers(self, whose: Attribution, first: int, last: int, locate: Locate) -> bool:
        """Tell whether a record is held that is about calls from one time to another (milliseconds, both included)."""
        if whose.organisation != self.organisation:
            return False
        if (self.begins_at is not None and last < self.begins_at) or (
            self.ends_at is not None and first >= self.ends_at
        ):
            return False
        for wanted, found in (
            (self.department, whose.department),
            (self.project, whose.project),
            (self.client, whose.client),
        ):
            if wanted is not None and wanted != found:
                return False
        for kind, place, name in ((PERSON, self.person, whose.employee), (SESSION, self.session, whose.session)):
            if place is not None and (name is None or locate(kind, self.organisation, name) != place):
                return False
        return True


def matters_over(holds: Iterable[Hold], whose: Attribution, first: int, last: int, locate: Locate) -> list[str]:
    """Name the matters whose holds keep a record, each once."""
    return sorted({hold.matter for hold in holds if hold.covers(whose, first, last, locate)})
