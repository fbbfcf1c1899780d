"""What documents are made of: headings, facts, tables, paragraphs; the template knows how each looks (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

__all__ = [
    "Attachment",
    "Block",
    "Code",
    "Column",
    "Document",
    "Facts",
    "Form",
    "Paragraph",
    "Picture",
    "Points",
    "Relationship",
    "Section",
    "Style",
    "Table",
    "Value",
    "mono",
    "redacted",
]


class Style(StrEnum):
    """How a value is written."""

    PLAIN = "plain"
    MONO = "mono"
    """Hashes and ids that somebody may compare letter by letter."""
    REDACTED = "redacted"
    """Marked as taken out."""


@dataclass(frozen=True, slots=True)
class Value:
    """A text; line feeds begin new lines."""

    text: str
    style: Style = Style.PLAIN
    note: str = ""
    """Said after it, smaller."""


def mono(text: str, note: str = "") -> Value:
    """Write a text letter by letter."""
    return Value(text, Style.MONO, note)


def redacted(text: str, note: str = "") -> Value:
    """Mark a value as taken out, and say how."""
    return Value(text, Style.REDACTED, note)


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels with values, a line each."""

    rows: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """Facts with a picture beside them."""

    rows: tuple[tuple[str, Value], ...]
    svg: str
    alternative: str
    """What the picture is, for those who do not see it."""
    caption: str
    target: str
    """URL that the caption leads to."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    unit: str = ""
    figures: bool = True
    """Aligned to the right and never broken; else text that wraps."""
    weight: int = 1
    """How wide a column of text is, compared with the others."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; the heading is repeated on every page. The last rows may be totals."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    totals: tuple[tuple[Value, ...], ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in (*self.rows, *self.totals))


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str
    quiet: bool = False
    """Smaller and grey: an explanation, not a fact."""


@dataclass(frozen=True, slots=True)
class Points:
    """A list; numbered where the order matters."""

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """What is typed into a terminal."""

    text: str


@dataclass(frozen=True, slots=True)
class Form:
    """Lines for somebody to fill in by hand."""

    labels: tuple[str, ...]


Block = Facts | Picture | Table | Paragraph | Points | Code | Form


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what is under it."""

    title: str
    blocks: tuple[Block, ...]
    new_page: bool = False


class Relationship(StrEnum):
    """What an attached file is to the document (PDF/A-3, ``AFRelationship``)."""

    SOURCE = "source"
    """What the document shows was read from it."""
    DATA = "data"
    """It holds the same and more, for machines."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file inside the document; its bytes are kept as they are."""

    name: str
    content: bytes
    """UTF-8."""
    media_type: str
    relationship: Relationship
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Everything that a document says."""

    title: str
    issuer: str
    """Beside the title: whose it is."""
    lead: tuple[tuple[str, Value], ...]
    """Facts under the title: what a reader looks for first."""
    sections: tuple[Section, ...]
    footer: str
    """On every page: which document this is."""
    created: datetime
    """From the data, never from a clock: the same facts give the same document."""
    attachments: tuple[Attachment, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give what the template shows, as a JSON value."""
        return {
            "title": self.title,
            "issuer": self.issuer,
            "lead": [[label, asdict(value)] for label, value in self.lead],
            "sections": _sections(self.sections),
            "footer": self.footer,
        }


def _sections(sections: Sequence[Section]) -> list[dict[str, Any]]:
    return [
        {
            "title": section.title,
            "new_page": section.new_page,
            "blocks": [_block(block) for block in section.blocks],
        }
        for section in sections
    ]


def _block(block: Block) -> dict[str, Any]:
    given = {"kind": type(block).__name__.lower(), **asdict(block)}
    if isinstance(block, Table):
        given["longest"] = sum(_longest(block, place) for place, column in enumerate(block.columns) if column.figures)
    if isinstance(block, Facts):
        lines = (1 + len(value.text + value.note) // 60 + value.text.count("\n") for _, value in block.rows)
        given["together"] = sum(lines) <= 16  # noqa: PLR2004 - few enough that they fit on one page wherever they begin
    return given


def _longest(table: Table, place: int) -> int:
    """Count the characters of a column's longest figure: many long ones need smaller print, for none may be cut."""
    column = table.columns[place]
    cells = (row[place].text for row in (*table.rows, *table.totals))
    return max(map(len, (column.title, column.unit, *cells)))
