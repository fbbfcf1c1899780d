"""Salted commitments: they open with their disclosure, and with nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.receipts import commit, open_disclosure
from p402.receipts._commitment import _digest
from p402.receipts.errors import DisclosureUnknown, Malformed

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, TEXT)
def test_a_disclosure_opens_its_commitment(name: str, value: str) -> None:
    commitment = commit(name, value)
    assert open_disclosure({commitment.digest}, commitment.disclosure) == (name, value)


def test_the_digest_is_that_of_the_standard() -> None:
    # RFC 9901 §4.2.3: the disclosure of family_name with the spaces of its author, and its digest.
    disclosure = "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0"
    digest = "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0"
    assert open_disclosure([digest], disclosure) == ("family_name", "Möbius")


def test_equal_values_have_different_digests() -> None:
    assert commit("employee", "emp_7").digest != commit("employee", "emp_7").digest


def test_every_changed_byte_of_a_disclosure_is_noticed() -> None:
    commitment = commit("employee", "emp_7")
    for position, character in enumerate(commitment.disclosure):
        changed = commitment.disclosure[:position] + chr(ord(character) ^ 1) + commitment.disclosure[position + 1 :]
        with pytest.raises(DisclosureUnknown):
            open_disclosure({commitment.digest}, changed)


def test_a_committed_text_that_is_no_disclosure_is_refused() -> None:
    respelled = commit("employee", "emp_7").disclosure + "!"  # decoders skip what is not in the alphabet
    for text in ["e30", "WyJhIl0", "!!!", "e3", "bm90IGpzb24", respelled]:
        with pytest.raises(Malformed):
            open_disclosure({_digest(text)}, text)
