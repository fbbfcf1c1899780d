r"""The Merkle tree of RFC 6962 / RFC 9162 over the entries of a log: roots, proofs, and checking proofs.

Pure and without storage. A *complete* subtree of 2ˡ leaves is the node (level l, index i) over the leaves
[i·2ˡ, (i+1)·2ˡ); it never changes once known, so a store of those nodes only grows::

    level 2        (2,0)
                 /       \
    level 1   (1,0)     (1,1)
              /   \     /   \
    level 0  0     1   2     3   4      five leaves; the root hashes (2,0) with leaf 4

Which nodes a function asks for depends on its numbers alone, so a caller with slow storage can run it once with a
`get_node` that only takes notes, fetch them together, and run it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from p402.receipts.errors import ProofRefuted

__all__ = [
    "EMPTY_ROOT",
    "GetNode",
    "Node",
    "append_nodes",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "root",
    "verify_consistency",
    "verify_inclusion",
]

Node = tuple[int, int, bytes]
"""Level, index and hash of a complete subtree; level 0 is a leaf."""
GetNode = Callable[[int, int], bytes]
"""Reads the hash of the complete subtree at a level and index."""

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry of the log: SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def append_nodes(size: int, leaf: bytes, get_node: GetNode) -> list[Node]:
    """Give the nodes that become known when `leaf` (a leaf hash) is appended to a tree of `size` leaves.

    The first is the leaf itself at (0, size). At most log₂(size) stored nodes are read.
    """
    level, index, hashed = 0, size, leaf
    nodes = [(level, index, hashed)]
    while index & 1:
        hashed = _node_hash(get_node(level, index - 1), hashed)
        level, index = level + 1, index >> 1
        nodes.append((level, index, hashed))
    return nodes


def root(size: int, get_node: GetNode) -> bytes:
    """Give the root of the tree of the first `size` leaves."""
    return _range_hash(0, size, get_node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, get_node: GetNode) -> list[bytes]:
    """Prove that a leaf is in the tree of `size` leaves: its siblings from the bottom up (RFC 9162 §2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"There is no leaf {index} in a tree of {size}.")
    proof, begin, end = [], 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            proof.append(_range_hash(middle, end, get_node))
            end = middle
        else:
            proof.append(_range_hash(begin, middle, get_node))
            begin = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, get_node: GetNode) -> list[bytes]:
    """Prove that the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162 §2.1.4.1)."""
    if not 0 <= old <= new:
        raise ValueError(f"A tree of {old} leaves cannot be the beginning of a tree of {new}.")
    if old in (0, new):
        return []
    proof, begin, end, on_left_edge = [], 0, new, True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            proof.append(_range_hash(middle, end, get_node))
            end = middle
        else:
            proof.append(_range_hash(begin, middle, get_node))
            begin, on_left_edge = middle, False
    if not on_left_edge:
        proof.append(_range_hash(begin, end, get_node))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> None:
    """Check an inclusion proof (RFC 9162 §2.1.3.2); return only if it holds.

    Raises:
        ProofRefuted: if the leaf is not proved to be at this index of the tree with this size and root.
    """
    if not 0 <= index < size:
        raise ProofRefuted(f"There is no entry {index} in a log of {size}.")
    position, last, hashed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofRefuted("The inclusion proof is too long.")
        if position & 1 or position == last:
            hashed = _node_hash(sibling, hashed)
            position, last = _skip_levels_without_sibling(position, last)
        else:
            hashed = _node_hash(hashed, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofRefuted("The inclusion proof is too short.")
    if hashed != expected_root:
        raise ProofRefuted(f"Entry {index} with this content is not in the log of {size} entries: the roots differ.")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check a consistency proof (RFC 9162 §2.1.4.2); return only if it holds.

    Raises:
        ProofRefuted: if the newer tree is not proved to begin with the older one: the log was rewritten or forked.
    """
    if not 0 <= old <= new:
        raise ProofRefuted(f"A log of {old} entries cannot be the beginning of a log of {new}: it was cut or forked.")
    if old in (0, new):
        expected = EMPTY_ROOT if old == 0 else new_root
        if proof or old_root != expected:
            raise ProofRefuted(f"Two logs of {old} entries have different roots, or the proof is too long.")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise ProofRefuted("The consistency proof is empty.")
    position, last = _strip_ones(old - 1, new - 1)
    old_hash = new_hash = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofRefuted("The consistency proof is too long.")
        if position & 1 or position == last:
            old_hash, new_hash = _node_hash(sibling, old_hash), _node_hash(sibling, new_hash)
            position, last = _skip_levels_without_sibling(position, last)
        else:
            new_hash = _node_hash(new_hash, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofRefuted("The consistency proof is too short.")
    if old_hash != old_root or new_hash != new_root:
        raise ProofRefuted(
            f"The log of {new} entries does not begin with the log of {old}: it was rewritten or forked."
        )


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _range_hash(begin: int, end: int, get_node: GetNode) -> bytes:
    """Hash the leaves [begin, end), where `begin` is where the tree's shape puts a subtree of that many leaves."""
    size = end - begin
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return get_node(level, begin >> level)
    middle = begin + _split(size)
    return _node_hash(_range_hash(begin, middle, get_node), _range_hash(middle, end, get_node))


def _split(size: int) -> int:
    """Give the largest power of two smaller than a size of two or more."""
    return 1 << ((size - 1).bit_length() - 1)


def _skip_levels_without_sibling(position: int, last: int) -> tuple[int, int]:
    """At the right edge of an incomplete tree a node rises unhashed until it is a right child."""
    while position and not position & 1:
        position, last = position >> 1, last >> 1
    return position, last


def _strip_ones(position: int, last: int) -> tuple[int, int]:
    while position & 1:
        position, last = position >> 1, last >> 1
    return position, last
