"""A proof that an entry is in a log, as text that stands alone (https://c2sp.org/tlog-proof, version 1).

::

    c2sp.org/tlog-proof@v1
    index 73894
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=      hashes from the leaf's sibling up, a line each
    B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
                                                      (an empty line)
    the signed checkpoint

The optional line of extra data is not used here and refused: nothing would vouch for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from p402.receipts import _base64
from p402.receipts.errors import Malformed

__all__ = ["LogProof", "format_proof", "parse_proof"]

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_MAX_HASHES = 64  # a log of 2⁶⁴ entries needs no more
_HASH_LENGTH = 32


@dataclass(frozen=True, slots=True)
class LogProof:
    """What a proof says: the entry at `index` is in the tree of `checkpoint`, along these `hashes`."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    """The signed note, verbatim."""


def format_proof(index: int, hashes: Sequence[bytes], checkpoint_note: str) -> str:
    """Write a proof as text."""
    lines = [_HEADER, f"index {index}", *map(_base64.encode, hashes), "", checkpoint_note]
    return "\n".join(lines)


def parse_proof(text: str) -> LogProof:
    """Read a proof; its checkpoint is passed on unread.

    Raises:
        Malformed: unless the text is exactly what `format_proof` gives.
    """
    head, separator, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    if header != _HEADER or not separator:
        raise Malformed(f"A proof begins with the line {_HEADER!r} and has an empty line before its checkpoint.")
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if index is None:
        raise Malformed("The second line of a proof is 'index' and the number of the entry; extra data is not used.")
    hashes = tuple(map(_base64.decode, lines[1:]))
    if len(hashes) > _MAX_HASHES or any(len(item) != _HASH_LENGTH for item in hashes):
        raise Malformed("The hashes of a proof are at most 64, of 32 bytes each.")
    return LogProof(int(index[1]), hashes, checkpoint)
