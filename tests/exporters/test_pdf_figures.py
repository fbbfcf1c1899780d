"""Figures and characters in documents."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

import pytest

from p402.exporters.documents.pdf import Document, typeset
from p402.exporters.documents.pdf.blocks import Paragraph, Section, mono
from p402.exporters.documents.pdf.characters import _NOT_SHOWN, printable
from p402.exporters.documents.pdf.figures import amounts, count, shortened, utc


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (["0.264235"], ["0.264235"]),
        (["12", "0.5"], ["12.00", "0.50"]),
        (["1234567.000000001", "0", None], ["1,234,567.000000001", "0.000000000", "–"]),
        (["-1234.5", "0.25"], ["−1,234.50", "0.25"]),
        ([], []),
        ([None], ["–"]),
    ],
)
def test_amounts_of_a_column_are_exact_and_have_as_many_decimals(column: list[str | None], shown: list[str]) -> None:
    assert amounts(column) == shown


def test_counts_are_grouped() -> None:
    assert [count(value) for value in (0, 999, 1000, 1_234_567, -1000)] == ["0", "999", "1,000", "1,234,567", "−1,000"]


def test_times_say_their_zone() -> None:
    assert utc("2026-11-23T10:00:00.120+01:00") == "2026-11-23 09:00:00.120 UTC"
    assert utc(1_795_431_600) == "2026-11-23 11:00:00 UTC"


def test_a_long_id_keeps_its_two_ends_in_the_margin() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("a" * 100 + "b" * 100) == f"{'a' * 40} … {'b' * 12}"


def test_every_character_that_is_shown_has_a_glyph() -> None:
    letters = [chr(code) for code in range(0x20, 0x11000) if not _NOT_SHOWN.match(chr(code))]
    assert len(letters) > 1400
    assert not [letter for letter in letters if unicodedata.category(letter)[0] == "M"]
    rows = tuple(Paragraph(" ".join(letters[begin : begin + 40])) for begin in range(0, len(letters), 40))
    document = Document(
        title="Letters",
        issuer="",
        lead=(("Letter by letter", mono(" ".join(letters))),),
        sections=(Section("All", rows),),
        footer="",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert typeset(document)[:5] == b"%PDF-"  # a missing glyph is refused


def test_texts_are_composed_and_spaces_are_spaces() -> None:
    assert printable({"a": ["e\u0301\u00a0x\u3000y\tz\n", 1, None]}) == {"a": ["é x y z\n", 1, None]}


@pytest.mark.parametrize(
    "character", ["\u200b", "\u200f", "\u202e", "\u2066", "\ufeff", "\x00", "\x7f", "\u00ad", "\ue000"]
)
def test_characters_that_nobody_sees_are_written_out(character: str) -> None:
    assert re.fullmatch(r"a\[U\+[0-9A-F]{4}\]b", printable(f"a{character}b"))
