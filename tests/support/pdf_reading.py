"""Reading a PDF back: its text, its metadata, the files inside it."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import pikepdf


@dataclass(frozen=True)
class ReadPdf:
    """A PDF as a reader sees it."""

    pages: tuple[str, ...]
    """The text of each page: pieces in the order in which they are drawn, a line each."""
    files: dict[str, bytes]
    relationships: dict[str, str]
    """By name of the attached file, from the document's ``AF`` array."""
    metadata: dict[str, str]
    intents: tuple[str, ...]
    """Kinds of the output intents."""
    language: str
    tagged: bool

    @property
    def text(self) -> str:
        """All pages, without what only breaks lines: a long word is one word again."""
        return re.sub(r"\s+", " ", " ".join(self.pages))

    @property
    def letters(self) -> str:
        """All letters of all pages, without any space."""
        return re.sub(r"\s+", "", "".join(self.pages))


def read_pdf(data: bytes) -> ReadPdf:
    """Read a document."""
    with pikepdf.open(io.BytesIO(data)) as pdf:
        with pdf.open_metadata() as xmp:
            metadata = {str(name): str(value) for name, value in xmp.items()}
        root = pdf.Root
        return ReadPdf(
            pages=tuple(_text(page) for page in pdf.pages),
            files={name: spec.get_file().read_bytes() for name, spec in pdf.attachments.items()},
            relationships={str(spec.UF): str(spec.AFRelationship) for spec in root.get("/AF", [])},
            metadata=metadata,
            intents=tuple(str(intent.S) for intent in root.get("/OutputIntents", [])),
            language=str(root.get("/Lang", "")),
            tagged="/StructTreeRoot" in root and bool(root.MarkInfo.Marked),
        )


def _text(page: pikepdf.Page) -> str:
    pieces: list[str] = []
    letters: dict[int, str] = {}
    for instruction in pikepdf.parse_content_stream(page):
        operands: Any = instruction.operands
        match str(instruction.operator):
            case "Tf":
                letters = _letters(page.resources["/Font"][str(operands[0])])
            case "Tj":
                pieces.append(_decoded(bytes(operands[0]), letters))
            case "TJ":
                strings = [part for part in operands[0] if isinstance(part, pikepdf.String)]
                pieces.append("".join(_decoded(bytes(part), letters) for part in strings))
            case "ET":
                pieces.append("\n")
    return "".join(pieces)


def _decoded(codes: bytes, letters: dict[int, str]) -> str:
    pairs = (int.from_bytes(codes[place : place + 2], "big") for place in range(0, len(codes), 2))
    return "".join(letters.get(code, "�") for code in pairs)


def _letters(font: Any) -> dict[int, str]:
    """Read which letters the codes of a font stand for (ISO 32000-1, 9.10.3)."""
    found: dict[int, str] = {}
    cmap = font["/ToUnicode"].read_bytes().decode("latin-1")
    for block in re.findall(r"beginbfchar(.*?)endbfchar", cmap, re.DOTALL):
        for code, text in re.findall(r"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", block):
            found[int(code, 16)] = bytes.fromhex(text).decode("utf-16-be")
    for block in re.findall(r"beginbfrange(.*?)endbfrange", cmap, re.DOTALL):
        for first, last, text in re.findall(r"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", block):
            for step, code in enumerate(range(int(first, 16), int(last, 16) + 1)):
                found[code] = chr(ord(bytes.fromhex(text).decode("utf-16-be")) + step)
    return found
