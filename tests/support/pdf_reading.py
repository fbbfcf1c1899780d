"""Reading a PDF back as a reader sees it: its text and where it stands, its metadata, the files inside it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any

import pikepdf


@dataclass(frozen=True)
class Piece:
    """A piece of a line, as it is drawn."""

    text: str
    left: float
    right: float
    """In points from the left edge of the page."""
    height: float
    """Of its base line, in points from the bottom."""


@dataclass(frozen=True)
class ReadPdf:
    """A PDF."""

    pieces: tuple[tuple[Piece, ...], ...]
    """By page, in the order in which they are drawn."""
    files: dict[str, bytes]
    relationships: dict[str, str]
    """By name of the attached file, from the document's ``AF`` array."""
    metadata: dict[str, str]
    intents: tuple[str, ...]
    """Kinds of the output intents."""
    language: str
    tagged: bool

    @property
    def pages(self) -> list[str]:
        """The text of each page."""
        return [" ".join(" ".join(piece.text for piece in page).split()) for page in self.pieces]

    @property
    def text(self) -> str:
        """The text of all pages."""
        return " ".join(self.pages)

    @property
    def letters(self) -> str:
        """All letters of all pages without any space: a word that is broken over lines is one word again."""
        return re.sub(r"\s+", "", "".join(self.pages))

    def collisions(self) -> list[tuple[str, str]]:
        """Give the pieces that are drawn over each other."""
        found = []
        for page in self.pieces:
            ordered = sorted(page, key=lambda piece: (round(piece.height), piece.left))
            for _, line in groupby(ordered, key=lambda piece: round(piece.height)):
                found += [
                    (one.text, other.text) for one, other in combinations(line, 2) if one.right > other.left + 0.5
                ]
        return found


def read_pdf(data: bytes) -> ReadPdf:
    """Read a document."""
    with pikepdf.open(io.BytesIO(data)) as pdf:
        with pdf.open_metadata() as xmp:
            metadata = {str(name): str(value) for name, value in xmp.items()}
        root = pdf.Root
        return ReadPdf(
            pieces=tuple(tuple(_pieces(page)) for page in pdf.pages),
            files={name: spec.get_file().read_bytes() for name, spec in pdf.attachments.items()},
            relationships={str(spec.UF): str(spec.AFRelationship) for spec in root.get("/AF", [])},
            metadata=metadata,
            intents=tuple(str(intent.S) for intent in root.get("/OutputIntents", [])),
            language=str(root.get("/Lang", "")),
            tagged="/StructTreeRoot" in root and bool(root.MarkInfo.Marked),
        )


def _pieces(page: pikepdf.Page) -> Iterator[Piece]:
    """Follow the drawing of a page, as far as typst's documents need: each piece is moved to its place first."""
    fonts = {str(name): (_letters(font), _widths(font)) for name, font in page.resources.get("/Font", {}).items()}
    left = height = size = 0.0
    font = ""
    for instruction in pikepdf.parse_content_stream(page):
        operands: Any = instruction.operands
        match str(instruction.operator):
            case "cm":
                left, height = float(operands[4]), float(operands[5])
            case "Tf":
                font, size = str(operands[0]), float(operands[1])
            case "Tj" | "TJ":
                letters, widths = fonts[font]
                parts = operands[0] if str(instruction.operator) == "TJ" else [operands[0]]
                codes = [code for part in parts if isinstance(part, pikepdf.String) for code in _codes(bytes(part))]
                moved = sum(float(part) for part in parts if not isinstance(part, pikepdf.String))
                width = (sum(widths.get(code, 0.0) for code in codes) - moved) * size / 1000
                text = "".join(letters.get(code, "\ufffd") for code in codes)
                yield Piece(text, left, left + width, height)


def _codes(data: bytes) -> list[int]:
    return [int.from_bytes(data[place : place + 2], "big") for place in range(0, len(data), 2)]


def _widths(font: Any) -> dict[int, float]:
    """Read how wide the codes of a font are, in thousandths of its size (ISO 32000-1, 9.7.4.3); typst writes ranges."""
    entries = [float(entry) for entry in font.DescendantFonts[0].W]
    ranges = zip(entries[::3], entries[1::3], entries[2::3], strict=True)
    return {code: width for first, last, width in ranges for code in range(int(first), int(last) + 1)}


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
