"""Checkpoints: the size and root of a log, signed by its operator (C2SP tlog-checkpoint in a C2SP signed-note).

::

    receipts.example.com/org/acme                     origin: which log
    20852163                                          size: how many entries
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=      root of the Merkle tree over them
                                                      (an empty line)
    — receipts.example.com/org/acme Az3grlgtz…        key name, base64(key id ‖ Ed25519 signature)

Specifications: https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint. Stricter than these: the name of the
key is the origin, there are no extension lines, and every text has one spelling only.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from p402.receipts import _base64
from p402.receipts.errors import CheckpointUntrusted, Malformed

__all__ = [
    "Checkpoint",
    "PinnedKey",
    "Signer",
    "VerifierKey",
    "open_checkpoint",
    "parse_checkpoint",
    "sign_checkpoint",
]

_ED25519 = b"\x01"  # the type of signature, in key ids and verifier keys
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_MAX_SIGNATURES = 64  # the specification asks for at least 16; a bound keeps hostile notes cheap
_HASH_LENGTH = 32
_EM_DASH = "\u2014"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its first `size` entries have this Merkle root."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        _require_name(self.origin)
        if not 0 <= self.size < 10**19 or len(self.root) != _HASH_LENGTH:
            raise Malformed(
                f"A checkpoint has a size and a root of 32 bytes; got {self.size} and {len(self.root)} bytes."
            )

    def __str__(self) -> str:
        """Write the text that is signed: origin, size and root, a line each."""
        return f"{self.origin}\n{self.size}\n{_base64.encode(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text that is signed, without signatures; raise Malformed unless it is exactly that."""
        match text.split("\n"):
            case [origin, size, root, ""] if _SIZE.fullmatch(size):
                return cls(origin, int(size), _base64.decode(root))
        raise Malformed("A checkpoint is three lines: origin, size, and root in base 64.")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a log's key, as auditors pin it."""

    name: str
    """The origin of the log."""
    public: bytes
    """32 bytes, RFC 8032."""

    @property
    def id(self) -> bytes:
        """Give the four bytes that tell keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        """Write ``name+id+base64(0x01 ‖ key)``, the *vkey* of C2SP."""
        return f"{self.name}+{self.id.hex()}+{_base64.encode(_ED25519 + self.public)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a vkey; raise Malformed if it is none, is not Ed25519, or its id does not fit."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        _require_name(name)
        material = _base64.decode(encoded)
        key = cls(name, material[1:])
        if material[:1] != _ED25519 or len(key.public) != _HASH_LENGTH:
            raise Malformed(f"The key of {name!r} is not an Ed25519 verifier key.")
        if key_id != key.id.hex():
            raise Malformed(f"The key of {name!r} says its id is {key_id[:16]!r}, but it is {key.id.hex()!r}.")
        return key


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A key that somebody trusts, and for which checkpoints: a key that was replaced must not sign later ones."""

    vkey: str
    first_size: int = 1
    """Of the smallest checkpoint that it may sign."""
    last_size: int | None = None
    """Of the largest one; None: there is no such bound."""

    def may_sign(self, size: int) -> bool:
        """Tell whether its signature counts under a checkpoint of a size."""
        return self.first_size <= size and (self.last_size is None or size <= self.last_size)


class Signer:
    """The private key of a log. It signs checkpoints and nothing else."""

    def __init__(self, key: Ed25519PrivateKey, origin: str) -> None:
        self._key = key
        self._public = VerifierKey(origin, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        _require_name(origin)

    def __repr__(self) -> str:
        return f"<Signer of {self.verifier_key}>"

    @classmethod
    def generate(cls, origin: str) -> Self:
        """Make a new key for the log with this origin."""
        return cls(Ed25519PrivateKey.generate(), origin)

    @classmethod
    def from_file(cls, path: Path, origin: str) -> Self:
        """Read a key that `save` wrote.

        Raises:
            Malformed: if the file is not an unencrypted Ed25519 key in PEM.
            OSError: if it cannot be read.
        """
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise Malformed(f"{path} is not a private key in PEM without a password.") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Malformed(f"{path} is not an Ed25519 key.")
        return cls(key, origin)

    def save(self, path: Path) -> None:
        """Write the key (PEM, PKCS #8) for its owner's eyes only. The file is on disk, whole, or it does not exist.

        Raises:
            FileExistsError: if there is a file already; a signing key is never overwritten.
        """
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with NamedTemporaryFile(dir=path.parent, prefix=path.name) as file:  # made with mode 0600
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @property
    def origin(self) -> str:
        """The log that this key signs for."""
        return self._public.name

    @property
    def verifier_key(self) -> str:
        """The public half, for auditors to pin."""
        return str(self._public)

    def signature_line(self, text: str) -> str:
        """Sign the text of a note and give the line to append to it."""
        signature = self._key.sign(text.encode())
        return f"{_EM_DASH} {self.origin} {_base64.encode(self._public.id + signature)}\n"


def sign_checkpoint(checkpoint: Checkpoint, signers: Iterable[Signer]) -> str:
    """Write a signed checkpoint. While keys are rotated, the old and the new one both sign."""
    text = str(checkpoint)
    lines = [signer.signature_line(text) for signer in signers if signer.origin == checkpoint.origin]
    if not lines:
        raise ValueError(f"No signer for the log {checkpoint.origin}.")
    return text + "\n" + "".join(lines)


def parse_checkpoint(note: str) -> Checkpoint:
    """Read a signed checkpoint *without* checking who signed it; see `open_checkpoint`.

    Raises:
        Malformed: if it is not a signed checkpoint.
    """
    return _parse(note)[0]


def open_checkpoint(note: str, verifier_keys: Iterable[str | PinnedKey]) -> Checkpoint:
    """Read a signed checkpoint that at least one pinned key vouches for.

    Signatures by other keys are ignored, as the specification says.

    Raises:
        Malformed: if the note or a key is malformed.
        CheckpointUntrusted: if no pinned key signed it, one that did may not sign checkpoints of this size, or the
            signature of one is wrong.
    """
    checkpoint, signatures = _parse(note)
    pinned = [PinnedKey(key) if isinstance(key, str) else key for key in verifier_keys]
    parsed = [(key, VerifierKey.parse(key.vkey)) for key in pinned]
    vouched = [
        key
        for key, verifier in parsed
        if verifier.name == checkpoint.origin and _verify(verifier, signatures, str(checkpoint))
    ]
    if not vouched:
        raise CheckpointUntrusted(
            f"None of the {len(pinned)} pinned keys signed this checkpoint of {checkpoint.origin!r}. "
            "Pin the key that the log's operator gave you by another way."
        )
    if not any(key.may_sign(checkpoint.size) for key in vouched):
        key = vouched[0]
        raise CheckpointUntrusted(
            f"The checkpoint of {checkpoint.size} entries is signed by {key.vkey}, which is pinned for checkpoints of "
            f"{key.first_size} to {'…' if key.last_size is None else key.last_size} entries only: a replaced key was used again."
        )
    return checkpoint


def _verify(key: VerifierKey, signatures: Sequence[tuple[str, bytes]], text: str) -> bool:
    """Tell whether the key signed the text; a wrong signature by it is an error."""
    found = [blob[4:] for name, blob in signatures if name == key.name and blob[:4] == key.id]
    for signature in found:
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
        except InvalidSignature as error:
            raise CheckpointUntrusted(
                f"The signature of the pinned key {key.name}+{key.id.hex()} is wrong: the checkpoint was changed."
            ) from error
    return bool(found)


def _parse(note: str) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    text, separator, lines = note.partition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise Malformed("A signed checkpoint is three lines, an empty line, and lines of signatures.")
    signatures = [_parse_signature(line) for line in lines[:-1].split("\n")]
    if len(signatures) > _MAX_SIGNATURES:
        raise Malformed(f"A checkpoint has at most {_MAX_SIGNATURES} signatures; this has {len(signatures)}.")
    return Checkpoint.parse(text + "\n"), signatures


def _parse_signature(line: str) -> tuple[str, bytes]:
    match line.split(" "):
        case ["\u2014", name, encoded]:
            _require_name(name)
            return name, _base64.decode(encoded)
    raise Malformed(f"{line[:80]!r} is not the line of a signature: an em dash, a name, and base 64.")


def _require_name(name: str) -> None:
    """Names of keys and origins are non-empty and have no spaces, plus signs or control characters."""
    if not name or "+" in name or not name.isprintable() or any(character.isspace() for character in name):
        raise Malformed(f"{name[:80]!r} cannot be the name of a log or a key: no spaces, no '+', nothing unprintable.")
