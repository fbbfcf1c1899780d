"""Disclosing personal data: what the vault still has of it, and a row of the access log for whoever gets it.

The row is committed before the data is given away. Exports, bundles and views all come through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from p402.collector.storage.access_log import Access, AccessLog
from p402.collector.storage.database import Database
from p402.collector.storage.receipt_reviews import ReviewStep, reviews_of
from p402.collector.storage.receipts import StoredReceipt
from p402.collector.storage.vault import Vault, digest_of
from p402.receipts import open_disclosure
from p402.vocabulary import Clock

__all__ = ["FIELDS", "Beside", "Disclosures", "Reader", "beside_receipts"]

FIELDS = frozenset({"employee", "session_id", "reviewer", "comment", "by", "reason", "reader"})
"""Every field that is committed to."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, and where."""

    key_id: str | None
    who: str | None
    """The employee that the API key is bound to, if it is."""
    what: str
    """The endpoint, such as ``GET /v1/receipts``."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is shown beside sealed receipts."""

    disclosures: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """By the entry of the log that commits to them."""
    reviews: Mapping[str, Sequence[ReviewStep]] = field(default_factory=dict)
    """By receipt."""

    def opened(self, seq: int) -> dict[str, str]:
        """Give what the disclosures of an entry say, by field."""
        return dict(open_disclosure((digest_of(text),), text) for text in self.disclosures.get(seq, ()))


class Disclosures:
    """Gives personal data away, and notes that."""

    def __init__(self, database: Database, vault: Vault, access_log: AccessLog, clock: Clock) -> None:
        self._database = database
        self.vault = vault
        self._access_log = access_log
        self._clock = clock

    async def of(
        self,
        reader: Reader,
        organisation: str,
        entries: Mapping[int, str],
        fields: frozenset[str] = FIELDS,
    ) -> dict[int, tuple[str, ...]]:
        """Give disclosures of entries of a log by their places, and note who read them.

        Args:
            reader: who asks; that they may is for the caller to check (scope ``receipts:personal``).
            organisation: whose log it is.
            entries: places in the log, each with the id that the access log names it by.
            fields: which of `FIELDS` are disclosed.
        """
        found = await self._database.read(
            lambda connection: self.vault.open(connection, organisation, list(entries), fields)
        )
        await self.note(reader, organisation, [entries[seq] for seq in sorted(found)])
        return found

    async def values(self, reader: Reader, organisation: str, entries: Mapping[int, str]) -> dict[int, dict[str, str]]:
        """Give what disclosures of entries say, by entry and field, and note who read them; see `of`."""
        beside = Beside(await self.of(reader, organisation, entries))
        return {seq: beside.opened(seq) for seq in beside.disclosures}

    async def readers(self, reader: Reader, organisation: str, rows: Mapping[str, str]) -> dict[str, str]:
        """Give the names of readers by their digests in the access log, and note who read those.

        Args:
            reader: who asks.
            organisation: whose access log it is.
            rows: digests, each with the name that the access log has for its row.
        """
        found = await self._database.read(lambda connection: self.vault.names_of(connection, organisation, list(rows)))
        await self.note(reader, organisation, [rows[digest] for digest in found])
        return found

    async def note(self, reader: Reader, organisation: str, items: Iterable[str]) -> None:
        """Note that somebody reads what is personal of some items; nothing is noted if there are none."""
        access = Access(
            organisation=organisation,
            key_id=reader.key_id,
            who=reader.who,
            what=reader.what,
            items=list(dict.fromkeys(items)),
        )
        if access.items:
            now = self._clock.now()
            await self._database.write(lambda connection: self._access_log.record(connection, access, now))

    def beside(
        self, connection: Connection, receipts: Sequence[StoredReceipt], *, fields: frozenset[str] = frozenset()
    ) -> Beside:
        """Read what is shown beside receipts of one organisation; `note` must follow for what is disclosed of them."""
        return beside_receipts(connection, self.vault, receipts, fields)

    async def note_receipts(self, reader: Reader, receipts: Sequence[StoredReceipt], beside: Beside) -> None:
        """Note that somebody reads what is personal of receipts of one organisation, as far as it was disclosed."""
        personal = [receipt for receipt in receipts if _discloses(receipt, beside)]
        if personal:
            await self.note(reader, personal[0].organisation, [receipt.receipt_id for receipt in personal])


def beside_receipts(
    connection: Connection, vault: Vault, receipts: Sequence[StoredReceipt], fields: frozenset[str]
) -> Beside:
    """Read what is shown beside receipts of one organisation; who does must see to it that it is noted."""
    if not receipts:
        return Beside()
    reviews = reviews_of(connection, [receipt.receipt_id for receipt in receipts])
    seqs = [receipt.seq for receipt in receipts]
    seqs += [step.seq for steps in reviews.values() for step in steps]
    opened = vault.open(connection, receipts[0].organisation, seqs, fields) if fields else {}
    return Beside(opened, reviews)


def _discloses(receipt: StoredReceipt, beside: Beside) -> bool:
    steps = beside.reviews.get(receipt.receipt_id, ())
    return any(seq in beside.disclosures for seq in (receipt.seq, *(step.seq for step in steps)))
