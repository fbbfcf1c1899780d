"""Which characters a document can show: those that its fonts have and that change nothing around them (pure).

An archivable PDF may not contain a character without a glyph, and control characters could make a line read differently
from what it says. Such characters are written out, ``[U+1F600]``; the attached files have them as they are.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

__all__ = ["printable", "written_out"]

# Letters and signs that Libertinus Serif or DejaVu Sans Mono have, by block. No combining marks, no format characters.
_SHOWN = (
    "\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff"  # Latin
    "\u0386-\u038a\u038c\u038e-\u03a1\u03a3-\u03ce"  # Greek
    "\u0400-\u045f\u0490-\u04c4"  # Cyrillic
    "\u0531-\u0556\u0561-\u0587\u10d0-\u10fc"  # Armenian, Georgian
    "\u05d0-\u05ea"  # Hebrew
    "\u0621-\u063a\u0641-\u064a\u0660-\u0669\u067e\u0686\u0698\u06a9\u06af\u06cc\u06f0-\u06f9"  # Arabic, Persian
    "\u1e00-\u1e9b\u1e9e-\u1ef9"  # Latin of Vietnamese and others
    "\u2010-\u2015\u2018-\u2022\u2026\u2030\u2032\u2033\u2039\u203a\u2044"  # punctuation
    "\u20a0-\u20b5\u20b8-\u20ba\u20bd\u20bf\u2116\u2122"  # currencies
    "\u2190-\u2199\u2212\u2248\u2260-\u2265\u2460-\u2473"  # arrows, mathematics, circled numbers
)
_NOT_SHOWN = re.compile(f"[^{_SHOWN}\n]")


def printable(value: Any) -> Any:
    """Give JSON values in which every text can be printed.

    Letters are composed with their accents first (NFC). A tab or a space of another width becomes a space; line feeds
    stay.
    """
    match value:
        case str():
            composed = unicodedata.normalize("NFC", value)
            return composed if composed.isascii() and composed.isprintable() else _NOT_SHOWN.sub(_written, composed)
        case dict():
            return {name: printable(item) for name, item in value.items()}
        case list() | tuple():
            return [printable(item) for item in value]
    return value


def written_out(value: Any) -> bool:
    """Tell whether any text among JSON values has characters that are written out."""
    match value:
        case str():
            return "[U+" in printable(value)
        case dict():
            return any(map(written_out, value.values()))
        case list() | tuple():
            return any(map(written_out, value))
    return False


def _written(match: re.Match[str]) -> str:
    character = match[0]
    if character == "\t" or unicodedata.category(character) == "Zs":
        return " "
    return f"[U+{ord(character):04X}]"
