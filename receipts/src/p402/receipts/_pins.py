"""Reads what an auditor pins: keys and checkpoints that were kept in files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from p402.receipts._canonical import member, parse_json
from p402.receipts._note import Checkpoint, PinnedKey, VerifierKey, parse_checkpoint
from p402.receipts.errors import Malformed, NotCanonical

__all__ = ["read_checkpoint", "read_keys"]

_SIZE = re.compile("[0-9]{1,19}")


def read_keys(text: str) -> list[PinnedKey]:
    """Take a key as it is, or read a file: of keys, one a line, or the operator's list as its API gives it.

    A key may be followed by the sizes of the first and of the last checkpoint that it may sign.

    Raises:
        Malformed: if there is no key, or something else.
        OSError: if it is a file that cannot be read.
    """
    content = text if _is_key(text) else Path(text).read_text(encoding="utf-8")
    if content.lstrip().startswith("{"):
        keys = _published_keys(content)
    else:
        keys = [_read_key(line.split()) for line in content.splitlines() if line.strip()]
    if not keys:
        raise Malformed(f"{text} holds no key.")
    return keys


def read_checkpoint(file: Path) -> Checkpoint:
    """Read a checkpoint, signed or not: whoever keeps it trusts it.

    Raises:
        Malformed: if the file holds none.
        OSError: if it cannot be read.
    """
    text = file.read_text(encoding="utf-8")
    try:
        return parse_checkpoint(text) if "\n\n" in text else Checkpoint.parse(text)
    except Malformed as error:
        raise Malformed(f"{file} holds no checkpoint. {error}") from error


def _is_key(text: str) -> bool:
    """Tell a key from a file's name, which may look like one: a key first, since it may be longer than any name of a file."""
    if "+" not in text:
        return False
    try:
        VerifierKey.parse(text.split(maxsplit=1)[0])
    except Malformed:
        try:
            return not Path(text).is_file()
        except OSError:
            return True
    return True


def _read_key(words: Sequence[str]) -> PinnedKey:
    match words:
        case [vkey, *sizes] if len(sizes) <= 2 and all(map(_SIZE.fullmatch, sizes)):  # noqa: PLR2004 - from, to
            first, last = (*map(int, sizes), None, None)[:2]
            return PinnedKey(str(VerifierKey.parse(vkey)), 1 if first is None else first, last)
    raise Malformed(
        f"{' '.join(words)[:80]!r} is not a key, with or without the sizes of checkpoints that it may sign."
    )


def _published_keys(content: str) -> list[PinnedKey]:
    try:
        listed = member(parse_json(content.encode()), "keys", list)
    except NotCanonical as error:
        raise Malformed(f"The file of keys cannot be read. {error}") from error
    return [
        PinnedKey(
            str(VerifierKey.parse(member(item, "vkey", str))),
            member(item, "first_size", int),
            None if item.get("last_size") is None else member(item, "last_size", int),
        )
        for item in listed
    ]
