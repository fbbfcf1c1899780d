"""The runbook as a page: the little of Markdown that it is written in (pure, apart from reading the file)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup, escape

__all__ = ["Section", "read_runbook", "sections_of"]

_INLINE = re.compile(r"`(?P<code>[^`]+)`|\[(?P<text>[^\]]+)\]\((?P<link>[^)]+)\)|\*(?P<strong>[^*]+)\*")
_ITEM = re.compile(r"\d+\. ")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and what is under it."""

    level: int
    title: str
    anchor: str
    content: Markup


def read_runbook() -> Sequence[Section]:
    """Read the file that is part of the package."""
    return sections_of(files("p402.collector").joinpath("dashboard/RUNBOOK.md").read_text("utf-8"))


def sections_of(text: str) -> Sequence[Section]:
    """Read headings, paragraphs, numbered lists and tables."""
    found = []
    for part in re.split(r"^(?=#{1,3} )", text, flags=re.MULTILINE):
        if part.strip():
            heading, _, content = part.partition("\n")
            marks, _, title = heading.partition(" ")
            anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
            blocks = [block for block in re.split(r"\n\s*\n", content.strip()) if block]
            found.append(Section(len(marks), title, anchor, Markup("\n").join(_block(block) for block in blocks)))
    return found


def _block(text: str) -> Markup:
    lines = text.split("\n")
    if lines[0].startswith("|"):
        return _table(lines)
    if _ITEM.match(text):
        items = [" ".join(item.split()) for item in re.split(r"^\d+\. ", text, flags=re.MULTILINE) if item.strip()]
        return Markup("<ol>{}</ol>").format(Markup().join(Markup("<li>{}</li>").format(_line(item)) for item in items))
    return Markup("<p>{}</p>").format(_line(" ".join(text.split())))


def _table(lines: Sequence[str]) -> Markup:
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    top = Markup().join(Markup('<th scope="col">{}</th>').format(_line(cell)) for cell in head)
    body = Markup().join(
        Markup("<tr>{}</tr>").format(
            Markup().join(Markup('<td class="wrap">{}</td>').format(_line(cell)) for cell in row)
        )
        for row in rows
    )
    table = Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(top, body)
    return Markup('<div class="wide" tabindex="0" role="region" aria-label="{}">{}</div>').format(head[0], table)


def _line(text: str) -> Markup:
    return Markup().join(_pieces(text))


def _pieces(text: str) -> Iterator[Markup]:
    at = 0
    for found in _INLINE.finditer(text):
        yield escape(text[at : found.start()])
        at = found.end()
        if found["code"]:
            yield Markup("<code>{}</code>").format(found["code"])
        elif found["strong"]:
            yield Markup("<em>{}</em>").format(found["strong"])
        elif found["link"].startswith("#"):
            yield Markup('<a href="{}">{}</a>').format(found["link"], _line(found["text"]))
        else:  # other files of the project are not here
            yield _line(found["text"])
    yield escape(text[at:])
