"""Proofs as text: they read back as they were written, and every text has one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.receipts import LogProof, format_proof, parse_proof
from p402.receipts.errors import Malformed

NOTE = "origin\n1\nroot\n\n— origin signature\n"
HASH = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@given(st.integers(0, 2**63), st.lists(st.binary(min_size=32, max_size=32), max_size=64))
def test_a_proof_reads_back(index: int, hashes: list[bytes]) -> None:
    assert parse_proof(format_proof(index, hashes, NOTE)) == LogProof(index, tuple(hashes), NOTE)


def test_a_proof_is_written_as_the_specification_shows() -> None:
    assert format_proof(73894, [bytes(32)], NOTE) == f"c2sp.org/tlog-proof@v1\nindex 73894\n{HASH}\n\n{NOTE}"


@given(st.text(alphabet="c2sp.org/tlog-proof@v1index 0987654321AB=\n", max_size=200))
def test_what_is_read_is_written_the_same(tail: str) -> None:
    text = "c2sp.org/tlog-proof@v1\nindex " + tail
    try:
        proof = parse_proof(text)
    except Malformed:
        return
    assert format_proof(proof.index, proof.hashes, proof.checkpoint) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"c2sp.org/tlog-proof@v2\nindex 1\n\n{NOTE}",
        f"c2sp.org/tlog-proof@v1\nextra AAAA\nindex 1\n\n{NOTE}",
        f"c2sp.org/tlog-proof@v1\nindex 01\n\n{NOTE}",
        f"c2sp.org/tlog-proof@v1\nindex  1\n\n{NOTE}",
        f"c2sp.org/tlog-proof@v1\nindex -1\n\n{NOTE}",
        f"c2sp.org/tlog-proof@v1\n\n{NOTE}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{HASH[:-2]}B=\n\n{NOTE}",
        f"c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\n{NOTE}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{HASH}",
        "c2sp.org/tlog-proof@v1\nindex 1\n" + f"{HASH}\n" * 65 + f"\n{NOTE}",
    ],
    ids=range(11),
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_proof(text)
