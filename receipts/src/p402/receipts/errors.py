"""What can go wrong with receipts, proofs and settlement.

::

    P402Error
    ├── Permanent
    │   ├── NotSealable            these values cannot become an entry of the log
    │   ├── NotCanonical           a value has no canonical form, or bytes are not in it
    │   ├── Malformed              a text is not what its format says
    │   ├── ProofRefuted           the hashes of a Merkle proof do not lead to the root
    │   ├── CheckpointUntrusted    no pinned key signed this checkpoint
    │   ├── AnchorRefuted          the chain says something else than a settlement does
    │   ├── DisclosureUnknown      a disclosure opens none of the receipt's commitments
    │   ├── WrongChain             a node serves another chain than the one that is settled on
    │   └── ExtraMissing           an optional dependency is not installed
    └── Transient
        └── ChainUnavailable       the chain's node did not answer, or not usefully
"""

from __future__ import annotations

from p402.vocabulary import Permanent, Transient

__all__ = [
    "AnchorRefuted",
    "ChainUnavailable",
    "CheckpointUntrusted",
    "DisclosureUnknown",
    "ExtraMissing",
    "Malformed",
    "NotCanonical",
    "NotSealable",
    "ProofRefuted",
    "WrongChain",
]


class NotSealable(Permanent):
    """These values cannot become an entry of the log."""


class NotCanonical(Permanent):
    """A value has no RFC 8785 form, or bytes are not in it."""


class Malformed(Permanent):
    """A text is not what its format says."""


class ProofRefuted(Permanent):
    """The hashes of a Merkle proof do not lead to the root."""


class CheckpointUntrusted(Permanent):
    """No pinned key signed this checkpoint, or a pinned key's signature is wrong."""


class AnchorRefuted(Permanent):
    """The chain says something else than a settlement does."""


class DisclosureUnknown(Permanent):
    """A disclosure opens none of the receipt's commitments."""


class WrongChain(Permanent):
    """A node serves another chain than the one that is settled on."""


class ExtraMissing(Permanent, ImportError):
    """An optional dependency is not installed."""


class ChainUnavailable(Transient):
    """The chain's node did not answer, or not usefully."""
