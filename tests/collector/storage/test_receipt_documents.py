"""What a document about a receipt can say of personal values that are not shown."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from p402.collector.storage.disclosures import FIELDS
from p402.collector.storage.receipt_documents import Fate, ReceiptFile, receipt_file
from p402.collector.storage.receipts import receipts_page
from p402.receipts import ReviewAction
from p402.vocabulary import Attribution
from support.otlp import ASpan
from support.personal import PersonalBooks, personal_books

ACME = Attribution("acme")


async def only_file(personal: PersonalBooks, fields: frozenset[str] = FIELDS) -> ReceiptFile:
    """The file of the only receipt."""

    def read(connection: Connection) -> ReceiptFile:
        [receipt] = receipts_page(connection, "acme", ACME, -1, 10)
        found = receipt_file(connection, personal.disclosures.vault, receipt.receipt_id, ACME, fields)
        assert found is not None
        return found

    return await personal.books.database.read(read)


async def review(personal: PersonalBooks, reviewer: str, comment: str | None) -> None:
    receipt = (await only_file(personal)).receipt
    at = personal.books.clock.now()
    await personal.books.database.write(
        lambda connection: personal.reviews.add(connection, receipt, ReviewAction.APPROVED, reviewer, comment, None, at)
    )


async def test_what_is_kept_is_told_from_what_never_was(tmp_path: Path) -> None:
    async with personal_books(tmp_path) as personal:
        await personal.sealed(ASpan.of({"p402.employee": None}))
        found = await only_file(personal, frozenset())
        assert found.fates == {0: {"employee": Fate.ABSENT, "session_id": Fate.KEPT}}
        assert found.beside.disclosures == {}


async def test_what_was_erased_is_told_from_what_is_withheld(tmp_path: Path) -> None:
    async with personal_books(tmp_path) as personal:
        await personal.sealed(ASpan())
        await review(personal, "rev-1", None)
        await review(personal, "rev-2", "fine")
        before = (await only_file(personal)).fates
        assert before[0] == {"employee": Fate.KEPT, "session_id": Fate.KEPT}
        assert [before[seq] for seq in sorted(before)[1:]] == [
            {"reviewer": Fate.KEPT, "comment": Fate.ABSENT},
            {"reviewer": Fate.KEPT, "comment": Fate.KEPT},
        ]
        await personal.erase()
        after = (await only_file(personal)).fates
        assert after[0] == {"employee": Fate.ERASED, "session_id": Fate.ERASED}
        assert [after[seq] for seq in sorted(after)[1:]] == [
            {"reviewer": Fate.KEPT, "comment": Fate.ABSENT},
            {"reviewer": Fate.KEPT, "comment": Fate.ERASED},  # what is written about a session is its employee's
        ]
