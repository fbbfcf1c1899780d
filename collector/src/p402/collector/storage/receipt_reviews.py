"""Human review of sessions: steps of reviews, each an entry of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from p402.collector.storage.charge_rows import from_millis, to_millis
from p402.collector.storage.log import Signers, append_entry
from p402.collector.storage.privacy_tables import receipt_reviews
from p402.collector.storage.receipts import StoredReceipt
from p402.collector.storage.tables import receipts, scopes
from p402.collector.storage.vault import Kept, Vault, digest_of, person, subject_of_session
from p402.receipts import CommittedEntry, EntryPlace, ReviewAction, leaf_hash, open_disclosure, review_entry
from p402.vocabulary import IdFactory

__all__ = ["REVIEW_TYPE", "ReceiptReviews", "ReviewStep", "reviews_of"]

REVIEW_TYPE = "review"
_DECIDED = frozenset({ReviewAction.APPROVED, ReviewAction.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewStep:
    """What somebody did about a receipt; who that was, and what they wrote, is in the vault."""

    review_id: str
    receipt_id: str
    action: ReviewAction
    self_review: bool
    """Whether the reviewer is the session's own employee."""
    at: datetime
    key_id: str | None
    seq: int
    """Of the step's entry in the log."""


class ReceiptReviews:
    """Writes the steps of reviews, inside changes."""

    def __init__(self, vault: Vault, signers: Signers, new_id: IdFactory) -> None:
        self._vault = vault
        self._signers = signers
        self._new_id = new_id

    def add(
        self,
        connection: Connection,
        receipt: StoredReceipt,
        action: ReviewAction,
        reviewer: str,
        comment: str | None,
        key_id: str | None,
        at: datetime,
    ) -> ReviewStep:
        """Record a step. A request or a decision after a decision begins another review; a comment belongs to the last."""
        query = select(scopes.c.employee, scopes.c.session).join(receipts, receipts.c.scope_id == scopes.c.id)
        session = connection.execute(query.where(receipts.c.id == receipt.receipt_id)).one()
        review_id = self._review_of(connection, receipt.receipt_id, action, at)
        organisation = receipt.organisation

        def make(seq: int, prev: bytes) -> CommittedEntry:
            return review_entry(
                EntryPlace(organisation=organisation, seq=seq, prev=prev, issued_at=at),
                review_id=review_id,
                receipt_id=receipt.receipt_id,
                receipt_leaf=leaf_hash(receipt.body),
                action=action,
                self_review=reviewer == session.employee,
                reviewer=reviewer,
                comment=comment,
            )

        entry = append_entry(connection, organisation, REVIEW_TYPE, make, self._signers.signer(organisation), at)
        about = subject_of_session(session.employee or None, session.session or None)
        subjects = {"reviewer": person(reviewer), "comment": about}  # what is written about a session is its employee's
        kept = [Kept(text, subjects[_name(text)]) for text in entry.disclosures]
        self._vault.keep(connection, organisation, entry.seq, kept)
        row = {
            "review_id": review_id,
            "organisation": organisation,
            "receipt_id": receipt.receipt_id,
            "action": action.value,
            "self_review": reviewer == session.employee,
            "at": to_millis(at),
            "key_id": key_id,
            "seq": entry.seq,
        }
        connection.execute(insert(receipt_reviews).values(row))
        return reviews_of(connection, [receipt.receipt_id])[receipt.receipt_id][-1]

    def _review_of(self, connection: Connection, receipt_id: str, action: ReviewAction, at: datetime) -> str:
        steps = reviews_of(connection, [receipt_id]).get(receipt_id, [])
        decided = bool(steps) and any(
            step.action in _DECIDED for step in steps if step.review_id == steps[-1].review_id
        )
        if steps and (not decided or action is ReviewAction.COMMENTED):
            return steps[-1].review_id
        return self._new_id("rev", at)


def reviews_of(connection: Connection, receipt_ids: Sequence[str]) -> dict[str, list[ReviewStep]]:
    """Give the steps of the reviews of receipts, by receipt, in the order in which they were made."""
    query = select(receipt_reviews).where(receipt_reviews.c.receipt_id.in_(receipt_ids))
    found: dict[str, list[ReviewStep]] = {}
    for row in connection.execute(query.order_by(receipt_reviews.c.id)):
        found.setdefault(row.receipt_id, []).append(_step(row))
    return found


def _name(disclosure: str) -> str:
    return open_disclosure((digest_of(disclosure),), disclosure)[0]


def _step(row: Row[Any]) -> ReviewStep:
    return ReviewStep(
        review_id=row.review_id,
        receipt_id=row.receipt_id,
        action=ReviewAction(row.action),
        self_review=row.self_review,
        at=from_millis(row.at),
        key_id=row.key_id,
        seq=row.seq,
    )
