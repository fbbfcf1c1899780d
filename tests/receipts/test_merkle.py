"""The tree of RFC 6962: known roots, every proof of small trees, and proofs that must not hold."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.receipts import merkle
from p402.receipts.errors import ProofRefuted

# The leaves and roots that Certificate Transparency's implementations test against.
CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


class Tree:
    def __init__(self, size: int) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.leaves = [merkle.leaf_hash(str(index).encode()) for index in range(size)]
        for index, leaf in enumerate(self.leaves):
            self.append(index, leaf)

    def append(self, size: int, leaf: bytes) -> None:
        for level, index, hashed in merkle.append_nodes(size, leaf, self.get):
            assert (level, index) not in self.nodes  # a store of nodes only grows
            self.nodes[level, index] = hashed

    def get(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]

    def root(self, size: int) -> bytes:
        return merkle.root(size, self.get)


SIZES = 130
TREE = Tree(SIZES)


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert merkle.root(0, TREE.get) == hashlib.sha256(b"").digest()


def test_roots_are_those_of_certificate_transparency() -> None:
    tree = Tree(0)
    for size, leaf in enumerate(CT_LEAVES):
        tree.append(size, merkle.leaf_hash(bytes.fromhex(leaf)))
    assert [tree.root(size).hex() for size in range(1, 9)] == CT_ROOTS


@pytest.mark.parametrize("size", range(1, SIZES + 1))
def test_every_leaf_of_every_small_tree_can_be_proved(size: int) -> None:
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, TREE.get)
        merkle.verify_inclusion(TREE.leaves[index], index, size, proof, TREE.root(size))


@pytest.mark.parametrize("new", range(SIZES + 1))
def test_every_small_tree_is_proved_to_begin_with_every_smaller_one(new: int) -> None:
    for old in range(new + 1):
        proof = merkle.consistency_proof(old, new, TREE.get)
        merkle.verify_consistency(old, new, TREE.root(old), TREE.root(new), proof)


@given(st.data())
def test_an_inclusion_proof_holds_for_its_leaf_index_size_and_hashes_alone(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, SIZES))
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, TREE.get)
    other = data.draw(st.integers(0, SIZES - 1).filter(lambda number: number != index))
    changes: list[tuple[bytes, int, list[bytes]]] = [
        (TREE.leaves[other], index, proof),
        (TREE.leaves[index], other, proof),
        (TREE.leaves[index], index, [*proof, bytes(32)]),
    ]
    for position in range(len(proof)):
        changes.append((TREE.leaves[index], index, proof[:position] + proof[position + 1 :]))
        changes.append((TREE.leaves[index], index, [*proof[:position], bytes(32), *proof[position + 1 :]]))
    for leaf, claimed, hashes in changes:
        with pytest.raises(ProofRefuted):
            merkle.verify_inclusion(leaf, claimed, size, hashes, TREE.root(size))


@given(st.data())
def test_a_consistency_proof_holds_for_its_roots_and_hashes_alone(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, SIZES))
    old = data.draw(st.integers(1, new - 1))
    proof = merkle.consistency_proof(old, new, TREE.get)
    roots = TREE.root(old), TREE.root(new)
    changes = [(bytes(32), roots[1], proof), (roots[0], bytes(32), proof), (*roots, [*proof, bytes(32)]), (*roots, [])]
    for position in range(len(proof)):
        changes.append((*roots, proof[:position] + proof[position + 1 :]))
        changes.append((*roots, [*proof[:position], bytes(32), *proof[position + 1 :]]))
    for old_root, new_root, hashes in changes:
        with pytest.raises(ProofRefuted):
            merkle.verify_consistency(old, new, old_root, new_root, hashes)


def test_a_proof_has_exactly_the_length_that_index_and_size_ask_for() -> None:
    last_of_three = merkle.inclusion_proof(2, 3, TREE.get)
    with pytest.raises(ProofRefuted, match="too long"):
        merkle.verify_inclusion(TREE.leaves[2], 0, 1, last_of_three, TREE.root(3))
    first_of_two = merkle.inclusion_proof(0, 2, TREE.get)
    with pytest.raises(ProofRefuted, match="too short"):
        merkle.verify_inclusion(TREE.leaves[0], 0, 3, first_of_two, TREE.root(2))
    two_to_three = merkle.consistency_proof(2, 3, TREE.get)
    with pytest.raises(ProofRefuted, match="too short"):
        merkle.verify_consistency(2, 5, TREE.root(2), TREE.root(3), two_to_three)
    two_to_five = merkle.consistency_proof(2, 5, TREE.get)
    with pytest.raises(ProofRefuted, match="too long"):
        merkle.verify_consistency(2, 3, TREE.root(2), TREE.root(5), two_to_five)


def test_a_shrunken_log_is_refused() -> None:
    with pytest.raises(ProofRefuted, match="cut or forked"):
        merkle.verify_consistency(5, 4, TREE.root(5), TREE.root(4), [])


def test_two_logs_of_one_size_must_have_one_root() -> None:
    with pytest.raises(ProofRefuted):
        merkle.verify_consistency(4, 4, TREE.root(4), TREE.root(5), [])
    with pytest.raises(ProofRefuted):
        merkle.verify_consistency(0, 4, TREE.root(4), TREE.root(4), [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_what_is_not_in_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_proof(index, size, TREE.get)
    with pytest.raises(ProofRefuted):
        merkle.verify_inclusion(bytes(32), index, size, [], TREE.root(size))


def test_a_tree_cannot_begin_with_a_larger_one() -> None:
    with pytest.raises(ValueError, match="cannot be the beginning"):
        merkle.consistency_proof(3, 2, TREE.get)


def test_what_is_asked_of_the_store_depends_on_the_numbers_alone() -> None:
    noted: list[tuple[int, int]] = []
    read: list[tuple[int, int]] = []

    def note(level: int, index: int) -> bytes:
        noted.append((level, index))
        return b""

    def get(level: int, index: int) -> bytes:
        read.append((level, index))
        return TREE.get(level, index)

    merkle.inclusion_proof(5, 11, note)
    merkle.inclusion_proof(5, 11, get)
    assert noted == read
