"""Setting a document: a template of ours and plain data go in, the bytes of a PDF/A-3b come out.

Data reaches the template as one JSON text and is only ever shown as text: it is never put together with markup, so no id
and no comment can be an instruction to the typesetter. The template can read its own folder and nothing else. The fonts
are those that the typesetter brings along, so a document is the same on every machine.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import typst

from p402.exporters.documents.pdf.blocks import Document
from p402.exporters.documents.pdf.characters import printable, written_out
from p402.vocabulary import Permanent

__all__ = ["DocumentFailed", "page_images", "typeset"]

_TEMPLATES = Path(__file__).parent / "templates"
_STANDARDS: list[typst.PDFStandard] = ["a-3b", "ua-1"]
"""Kept for decades (ISO 19005-3), and readable with a screen reader (ISO 14289-1)."""
_local = threading.local()  # a compiler is used by one thread at a time; it keeps the fonts between documents


class DocumentFailed(Permanent):
    """A document could not be set: a fault of the template, since data of any kind can be shown."""


def typeset(document: Document) -> bytes:
    """Set a document as a PDF; the same document gives the same bytes. May be called in any thread.

    Raises:
        DocumentFailed: with what the typesetter said.
    """
    made = _set(document, format="pdf", pdf_standards=_STANDARDS, timestamp=int(document.created.timestamp()))
    assert isinstance(made, bytes)
    return made


def page_images(document: Document, pixels_per_inch: float = 72) -> list[bytes]:
    """Set a document as pictures of its pages, in PNG.

    Raises:
        DocumentFailed: with what the typesetter said.
    """
    made = _set(document, format="png", ppi=pixels_per_inch, timestamp=int(document.created.timestamp()))
    return [made] if isinstance(made, bytes) else made


def _set(document: Document, **options: Any) -> bytes | list[bytes]:
    try:
        made = _compiler().compile(sys_inputs=_inputs(document), **options)
    except typst.TypstError as error:
        raise DocumentFailed(f"The document {document.title!r} could not be set: {error.message}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # not an Exception, though only this document is lost
            raise
        raise DocumentFailed(f"The document {document.title!r} could not be set: the typesetter failed.") from error
    assert made is not None
    return made


def _inputs(document: Document) -> dict[str, str]:
    files = [
        {
            "name": file.name,
            "media_type": file.media_type,
            "relationship": file.relationship.value,
            "description": file.description,
        }
        for file in document.attachments
    ]
    contents = {f"file-{number}": file.content.decode() for number, file in enumerate(document.attachments)}
    shown = document.as_json()
    printed = printable(shown)
    data = {**printed, "written_out": written_out(shown)}
    return {"data": json.dumps(data), "files": json.dumps(files), **contents}


def _compiler() -> typst.Compiler:
    found: typst.Compiler | None = getattr(_local, "compiler", None)
    if found is None:
        nowhere = _TEMPLATES / "none"  # no template loads packages, least of all from a network
        found = _local.compiler = typst.Compiler(
            _TEMPLATES / "document.typ",
            root=_TEMPLATES,
            font_paths=typst.Fonts(include_system_fonts=False),
            package_path=nowhere,
            package_cache_path=nowhere,
        )
    return found
