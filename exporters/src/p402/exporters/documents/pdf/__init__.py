"""Documents for people in PDF/A-3b, with the machine's copy inside: receipts, statements, evidence packs."""

from p402.exporters.documents.pdf.blocks import Attachment, Document, Relationship
from p402.exporters.documents.pdf.receipt import (
    Hidden,
    Receipt,
    RelatedReceipt,
    ReviewStep,
    receipt_document,
    render_receipt,
)
from p402.exporters.documents.pdf.typeset import DocumentFailed, page_images, typeset

__all__ = [
    "Attachment",
    "Document",
    "DocumentFailed",
    "Hidden",
    "Receipt",
    "RelatedReceipt",
    "Relationship",
    "ReviewStep",
    "page_images",
    "receipt_document",
    "render_receipt",
    "typeset",
]
