"""A receipt as a document for people, with the receipt for machines inside it (pure but for the typesetting)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from p402.exporters.documents.pdf.blocks import (
    Attachment,
    Column,
    Document,
    Facts,
    Paragraph,
    Relationship,
    Section,
    Table,
    Value,
    mono,
    redacted,
)
from p402.exporters.documents.pdf.certification import certification
from p402.exporters.documents.pdf.figures import amounts, shortened, utc
from p402.exporters.documents.pdf.proof import (
    anchor_section,
    files_section,
    proof_section,
    status,
    verification_section,
)
from p402.exporters.documents.pdf.typeset import typeset
from p402.exporters.documents.pdf.usage import measurement_section, models_section, unpriced
from p402.receipts import CORRECTION_TYPE, BundledReceipt, open_disclosure, parse_bundle

__all__ = ["Hidden", "Receipt", "RelatedReceipt", "ReviewStep", "receipt_document", "render_receipt"]


class Hidden(StrEnum):
    """Why a personal value is not in the document."""

    WITHHELD = "withheld"
    """Whoever made the document may not see it, or chose not to show it."""
    ERASED = "erased"
    """It is gone for good; the proofs hold all the same."""
    NOT_RECORDED = "not recorded"
    """There never was one."""
    UNKNOWN = "withheld or not recorded"
    """The receipt commits to fewer values than are missing, and does not tell which."""
    GONE = "erased or not recorded"
    """One of several values was erased, and which one it was went with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewStep:
    """One step of the human review of a session."""

    seq: int
    """Place of its entry in the log."""
    at: str
    """RFC 3339."""
    action: str
    """``requested``, ``approved``, ``rejected`` or ``commented``."""
    reviewer: str | Hidden
    comment: str | Hidden
    self_review: bool
    """The reviewer is the session's own employee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelatedReceipt:
    """Another receipt about the same session."""

    receipt_id: str
    seq: int
    kind: str
    """What it is to this one, such as ``corrects this receipt``."""
    issued_at: str
    cost_usd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a receipt's document is made from."""

    bundle: bytes
    """The file for `p402-verify`, with this one receipt; what is disclosed in it is shown, nothing else."""
    hidden: Mapping[str, Hidden] = field(default_factory=dict)
    """Why ``employee`` or ``session_id`` are not disclosed, where that is known."""
    reviews: Sequence[ReviewStep] = ()
    related: Sequence[RelatedReceipt] = ()
    explorer_url: str | None = None
    """Page of the anchor's transaction."""
    certified: bool = False
    """Whether to add a form for a certification under US Federal Rules of Evidence 902(13) and (14)."""


def render_receipt(receipt: Receipt) -> bytes:
    """Set a receipt as PDF/A-3b; the same receipt gives the same bytes.

    Raises:
        Malformed: if the bundle is none.
        DocumentFailed: if it could not be set.
    """
    return typeset(receipt_document(receipt))


def receipt_document(receipt: Receipt) -> Document:
    """Say everything that is known of a receipt.

    Raises:
        Malformed: if the bundle is none.
    """
    bundle = parse_bundle(receipt.bundle)
    item = bundle.receipts[0]
    body: Mapping[str, Any] = json.loads(item.body)
    anchor = None if item.anchor is None else bundle.anchors[item.anchor]
    files = _files(item, receipt.bundle)
    correction = body["type"] == CORRECTION_TYPE
    sections = [
        _session(body, _personal(body, item, receipt.hidden)),
        models_section(body),
        measurement_section(body),
        _reviews(receipt.reviews),
        _related(body, receipt.related),
        proof_section(item, body),
        anchor_section(anchor, receipt.explorer_url),
        verification_section(anchored=anchor is not None),
        files_section(files),
        *([certification(f"receipt {body['receipt_id']}", files)] if receipt.certified else []),
    ]
    return Document(
        title="Correction of an AI usage receipt" if correction else "AI usage receipt",
        issuer=body["organisation"],
        lead=(
            ("Receipt", mono(body["receipt_id"])),
            ("Status", Value(status(anchor))),
            ("Total cost", Value(f"{amounts([body['cost_usd']])[0]} USD", note=unpriced(body["unpriced_requests"]))),
        ),
        sections=tuple(sections),
        footer=f"Receipt {shortened(body['receipt_id'])}",
        created=_latest(body, anchor.chain.block_timestamp if anchor else 0, receipt.reviews, receipt.related),
        attachments=files,
    )


def _files(item: BundledReceipt, bundle: bytes) -> tuple[Attachment, ...]:
    return (
        Attachment(
            name="receipt-body.json",
            content=item.body,
            media_type="application/json",
            relationship=Relationship.SOURCE,
            description="The receipt itself: the bytes that its leaf hash is computed from.",
        ),
        Attachment(
            name="bundle.json",
            content=bundle,
            media_type="application/json",
            relationship=Relationship.DATA,
            description="The receipt with its proofs, for p402-verify.",
        ),
    )


def _personal(body: Mapping[str, Any], item: BundledReceipt, hidden: Mapping[str, Hidden]) -> dict[str, Value]:
    """Give what is disclosed, and for the rest why it is not."""
    opened = dict(open_disclosure(body["_sd"], disclosure) for disclosure in item.disclosures)
    missing = [name for name in ("employee", "session_id") if name not in opened]
    closed = len(body["_sd"]) - len(opened)
    why = {0: Hidden.NOT_RECORDED, len(missing): Hidden.WITHHELD}.get(closed, Hidden.UNKNOWN)
    told = {name: _hidden(hidden.get(name, why)) for name in missing}
    return {**{name: Value(str(value)) for name, value in opened.items()}, **told}


def _why(hidden: Hidden) -> Value:
    return Value("", note=hidden.value) if hidden is Hidden.NOT_RECORDED else redacted(hidden.value)


def _hidden(hidden: Hidden) -> Value:
    """Give the mark of a value that the receipt commits to, and say what is left of it."""
    notes = {
        Hidden.WITHHELD: "The receipt holds a salted hash of it.",
        Hidden.ERASED: "Of the value only a hash is left, which tells nothing; every proof still holds.",
    }
    return replace(_why(hidden), note=notes[hidden]) if hidden in notes else _why(hidden)


def _session(body: Mapping[str, Any], personal: Mapping[str, Value]) -> Section:
    session = body["session"]
    closed_by = {"api": "by the application", "idle": "after a silence"}
    part = f"part {session['part']}" if session["part"] > 1 else ""
    verified = body["attribution"]["verified_through"]
    attribution = (
        "Nobody was authenticated; all levels are the application’s own word."
        if verified is None
        else f"Authenticated down to the {verified}; below it, the application’s own word."
    )
    levels = [
        (level.capitalize(), Value(body[level]) if body[level] is not None else Value("", note="not attributed"))
        for level in ("organisation", "department", "project", "client")
    ]
    return Section(
        "Who and when",
        (
            Facts(
                (
                    *levels,
                    ("Employee", personal["employee"]),
                    ("Session", personal["session_id"]),
                    ("Attribution", Value(attribution)),
                    ("First call began", Value(utc(session["opened_at"]))),
                    ("Last call ended", Value(utc(session["closed_at"]))),
                    ("Closed", Value(closed_by.get(session["closed_by"], session["closed_by"]), note=part)),
                    ("Receipt issued", Value(utc(body["issued_at"]))),
                )
            ),
        ),
    )


def _reviews(steps: Sequence[ReviewStep]) -> Section:
    if not steps:
        return Section("Human review", (Paragraph("Nobody has reviewed this session.", quiet=True),))
    columns = (
        Column("Time", "UTC", figures=False, weight=4),
        Column("Step", figures=False, weight=3),
        Column("Reviewer", figures=False, weight=3),
        Column("Comment", figures=False, weight=6),
        Column("Log entry"),
    )
    rows = tuple(
        (
            Value(utc(step.at).removesuffix(" UTC")),
            Value(step.action, note="by the session’s own employee" if step.self_review else ""),
            _said(step.reviewer),
            _said(step.comment),
            Value(str(step.seq)),
        )
        for step in steps
    )
    return Section("Human review", (Table(columns, rows),))


def _said(value: str | Hidden) -> Value:
    return _why(value) if isinstance(value, Hidden) else Value(value)


def _related(body: Mapping[str, Any], related: Sequence[RelatedReceipt]) -> Section:
    title = "Corrections and supplements"
    named = body["session"]["supplements"]
    label = "This one corrects" if body["type"] == CORRECTION_TYPE else "This one adds to"
    begin = [] if named is None else [Facts(((label, mono(named)),))]
    if not related:
        none = "No other receipt about this session was issued when this document was made."
        return Section(title, (*begin, Paragraph(none, quiet=True)))
    columns = (
        Column("Receipt", figures=False),
        Column("What it is", figures=False),
        Column("Log entry"),
        Column("Cost", "USD"),
    )
    costs = amounts([other.cost_usd for other in related])
    rows = tuple(
        (mono(other.receipt_id), Value(other.kind, note=utc(other.issued_at)), Value(str(other.seq)), Value(cost))
        for other, cost in zip(related, costs, strict=True)
    )
    return Section(title, (*begin, Table(columns, rows)))


def _latest(
    body: Mapping[str, Any], block_time: int, reviews: Sequence[ReviewStep], related: Sequence[RelatedReceipt]
) -> datetime:
    """Date the document by the last thing that it tells of."""
    times = [body["issued_at"], *(step.at for step in reviews), *(other.issued_at for other in related)]
    return max(datetime.fromtimestamp(block_time, UTC), *map(datetime.fromisoformat, times))
