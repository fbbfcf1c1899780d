"""Our Merkle tree and our constants against implementations by others."""

from __future__ import annotations

import subprocess
import sys

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree  # type: ignore[import-untyped]  # it has no types
from pymerkle import verify_consistency as oracle_verify_consistency
from pymerkle import verify_inclusion as oracle_verify_inclusion
from pytempo.contracts.addresses import ACCOUNT_KEYCHAIN_ADDRESS, NONCE_ADDRESS

from p402.receipts import TRANSFER_WITH_MEMO, merkle
from p402.receipts.errors import ProofRefuted
from p402.receipts.settlement import _node, _obstacles


def trees(entries: list[bytes]) -> tuple[InmemoryTree, dict[tuple[int, int], bytes]]:
    oracle = InmemoryTree(algorithm="sha256")
    nodes: dict[tuple[int, int], bytes] = {}
    for size, entry in enumerate(entries):
        oracle.append_entry(entry)
        leaf = merkle.leaf_hash(entry)
        for level, index, hashed in merkle.append_nodes(size, leaf, lambda level, index: nodes[level, index]):
            nodes[level, index] = hashed
    return oracle, nodes


@given(st.lists(st.binary(), min_size=1, max_size=80), st.data())
@settings(deadline=None)
def test_roots_and_proofs_are_those_of_pymerkle(entries: list[bytes], data: st.DataObject) -> None:
    oracle, nodes = trees(entries)
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))

    def get(level: int, position: int) -> bytes:
        return nodes[level, position]

    assert merkle.root(size, get) == oracle.get_root(size)
    theirs = oracle.prove_inclusion(index + 1, size)
    oracle_verify_inclusion(merkle.leaf_hash(entries[index]), merkle.root(size, get), theirs)
    path = [bytes.fromhex(item) for item in theirs.serialize()["path"]]
    assert merkle.inclusion_proof(index, size, get) == path[1:]  # theirs begins with the leaf


@given(st.lists(st.binary(), min_size=1, max_size=80), st.data())
@settings(deadline=None)
def test_proofs_of_consistency_hold_between_the_roots_of_pymerkle(entries: list[bytes], data: st.DataObject) -> None:
    oracle, nodes = trees(entries)
    old = data.draw(st.integers(1, len(entries)))
    new = data.draw(st.integers(old, len(entries)))
    first, last = oracle.get_root(old), oracle.get_root(new)
    ours = merkle.consistency_proof(old, new, lambda level, position: nodes[level, position])
    merkle.verify_consistency(old, new, first, last, ours)
    oracle_verify_consistency(first, last, oracle.prove_consistency(old, new))
    changed = data.draw(st.integers(0, old - 1))
    rewritten, _ = trees([entry + b"!" if number == changed else entry for number, entry in enumerate(entries)])
    for roots in ((rewritten.get_root(old), last), (first, rewritten.get_root(new))):
        with pytest.raises(ProofRefuted):
            merkle.verify_consistency(old, new, *roots, ours)


def test_the_topic_is_the_hash_of_the_event() -> None:
    assert keccak(text="TransferWithMemo(address,address,uint256,bytes32)").hex() == TRANSFER_WITH_MEMO[2:]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (_node._GET_NONCE, "getNonce(address,uint256)"),
        (_node._BALANCE_OF, "balanceOf(address)"),
        (_obstacles._GET_KEY, "getKey(address,address)"),
        (_obstacles._GET_LIMIT, "getRemainingLimitWithPeriod(address,address,address)"),
        (_obstacles._INSUFFICIENT_BALANCE, "InsufficientBalance(uint256,uint256,address)"),
        *zip(_obstacles._ERRORS, ("PolicyForbids()", "ContractPaused()", "InvalidRecipient()"), strict=True),
    ],
)
def test_a_selector_is_the_hash_of_what_it_selects(ours: str, theirs: str) -> None:
    assert ours == "0x" + keccak(text=theirs)[:4].hex()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(_node._NONCE_PRECOMPILE, NONCE_ADDRESS), (_obstacles._KEYCHAIN, ACCOUNT_KEYCHAIN_ADDRESS)],
)
def test_the_precompiles_are_where_they_are_declared(ours: str, theirs: str) -> None:
    assert ours == theirs.lower()


def test_importing_the_settler_leaves_the_recursion_limit_alone() -> None:
    code = "import sys; import p402.receipts.settlement.tempo; print(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "1000\n"
