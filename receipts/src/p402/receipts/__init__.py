"""Receipts of AI usage that anyone can check: the log, the proofs, the statements on the chain, the verifier.

Three layers, never mixed: an immutable *body* that is hashed, a *proof* that it is in the log, and an *anchor* on the
chain that becomes known later. FORMAT.md is the specification; `verify` is what an auditor runs.
"""

from p402.receipts import errors, merkle
from p402.receipts._bundle import (
    BUNDLE_FORMAT,
    BUNDLE_FORMAT_1,
    Bundle,
    BundledAnchor,
    BundledConsistency,
    BundledReceipt,
    make_bundle,
    parse_bundle,
)
from p402.receipts._canonical import canonical, parse_canonical
from p402.receipts._chain import Block, ChainReader
from p402.receipts._charges import charge_line, charges_digest
from p402.receipts._commitment import Commitment, commit, new_salt, open_disclosure
from p402.receipts._describe import describe
from p402.receipts._entry import (
    MAX_COMMITTED_TEXT,
    MAX_ENTRY_BYTES,
    NO_PREVIOUS,
    CommittedEntry,
    Entry,
    EntryPlace,
    seal_entry,
    settlement_entry,
)
from p402.receipts._note import (
    Checkpoint,
    PinnedKey,
    Signer,
    VerifierKey,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from p402.receipts._personal_entries import (
    MAX_ERASED_DIGESTS,
    HoldAction,
    ReviewAction,
    erasure_entry,
    hold_entry,
    review_entry,
)
from p402.receipts._pins import read_checkpoint, read_keys
from p402.receipts._proof import LogProof, format_proof, parse_proof
from p402.receipts._receipt import CONTENT_MODES, CORRECTION_TYPE, RECEIPT_TYPE, ClosedBy, SealedReceipt, seal_receipt
from p402.receipts._report import Check, Link, Outcome, Report, Status
from p402.receipts._statement import (
    Anchor,
    PaidElsewhere,
    SettlementMode,
    SettlementStatement,
    mpp_payment_id,
    normalise_address,
)
from p402.receipts._transfer import TRANSFER_WITH_MEMO, ChainLog, MemoTransfer, TransactionReceipt
from p402.receipts._trust import Trust
from p402.receipts._upkeep_entries import (
    RotationReason,
    access_log_digest,
    access_log_entry,
    heartbeat_entry,
    key_rotation_entry,
    period_close_entry,
)
from p402.receipts._verify import verify
from p402.receipts.merkle import (
    EMPTY_ROOT,
    GetNode,
    Node,
    append_nodes,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

__all__ = [
    "BUNDLE_FORMAT",
    "BUNDLE_FORMAT_1",
    "CONTENT_MODES",
    "CORRECTION_TYPE",
    "EMPTY_ROOT",
    "MAX_COMMITTED_TEXT",
    "MAX_ENTRY_BYTES",
    "MAX_ERASED_DIGESTS",
    "NO_PREVIOUS",
    "RECEIPT_TYPE",
    "TRANSFER_WITH_MEMO",
    "Anchor",
    "Block",
    "Bundle",
    "BundledAnchor",
    "BundledConsistency",
    "BundledReceipt",
    "ChainLog",
    "ChainReader",
    "Check",
    "Checkpoint",
    "ClosedBy",
    "Commitment",
    "CommittedEntry",
    "Entry",
    "EntryPlace",
    "GetNode",
    "HoldAction",
    "Link",
    "LogProof",
    "MemoTransfer",
    "Node",
    "Outcome",
    "PaidElsewhere",
    "PinnedKey",
    "Report",
    "ReviewAction",
    "RotationReason",
    "SealedReceipt",
    "SettlementMode",
    "SettlementStatement",
    "Signer",
    "Status",
    "TransactionReceipt",
    "Trust",
    "VerifierKey",
    "access_log_digest",
    "access_log_entry",
    "append_nodes",
    "canonical",
    "charge_line",
    "charges_digest",
    "commit",
    "consistency_proof",
    "describe",
    "erasure_entry",
    "errors",
    "format_proof",
    "heartbeat_entry",
    "hold_entry",
    "inclusion_proof",
    "key_rotation_entry",
    "leaf_hash",
    "make_bundle",
    "merkle",
    "mpp_payment_id",
    "new_salt",
    "normalise_address",
    "open_checkpoint",
    "open_disclosure",
    "parse_bundle",
    "parse_canonical",
    "parse_checkpoint",
    "parse_proof",
    "period_close_entry",
    "read_checkpoint",
    "read_keys",
    "review_entry",
    "root",
    "seal_entry",
    "seal_receipt",
    "settlement_entry",
    "sign_checkpoint",
    "verify",
    "verify_consistency",
    "verify_inclusion",
]
