"""Documents for people in PDF/A-3b, with the machine's copy inside: receipts, statements, evidence packs."""

from p402.exporters.documents.pdf.blocks import Attachment, Document, Relationship
from p402.exporters.documents.pdf.evidence import EvidencePack, evidence_document, render_evidence
from p402.exporters.documents.pdf.proof import SOFTWARE
from p402.exporters.documents.pdf.receipt import (
    Hidden,
    Receipt,
    RelatedReceipt,
    ReviewStep,
    receipt_document,
    render_receipt,
)
from p402.exporters.documents.pdf.statement import PeriodStatement, render_statement, statement_document
from p402.exporters.documents.pdf.typeset import DocumentFailed, page_images, typeset

__all__ = [
    "SOFTWARE",
    "Attachment",
    "Document",
    "DocumentFailed",
    "EvidencePack",
    "Hidden",
    "PeriodStatement",
    "Receipt",
    "RelatedReceipt",
    "Relationship",
    "ReviewStep",
    "evidence_document",
    "page_images",
    "receipt_document",
    "render_evidence",
    "render_receipt",
    "render_statement",
    "statement_document",
    "typeset",
]
