"""The keys of the vault: one file, apart from the database and from its backups.

The file has one *index key*, which turns ids of people into the places where their data keys are (HMAC-SHA-256), and
*wrapping keys*, the newest first, which encrypt data keys (AES-256-GCM). Wrapping keys are rotated; the index key stays,
since the ids are not kept that it would have to be applied to again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from p402.vocabulary import Permanent

__all__ = ["PERSON", "SESSION", "VaultKeyUnusable", "VaultKeys", "new_data_key", "seal", "unseal"]

PERSON = "person"
"""The kind of a subject that is a person: an employee, a reviewer, whoever placed a hold."""
SESSION = "session"
"""The kind of a subject that is a session of nobody known."""

_KEY_BYTES = 32
_ID_BYTES = 8
_NONCE_BYTES = 12


class VaultKeyUnusable(Permanent):
    """The vault's key file cannot be read or made, or what is in the database was encrypted with another one."""


@dataclass(frozen=True, slots=True)
class _Ring:
    """What the file holds."""

    index: bytes
    wrapping: Mapping[bytes, bytes]
    """By id, the newest first."""


class VaultKeys:
    """The keys of a file. Another process may rotate them meanwhile: the file is read again when it has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._ring: _Ring | None = None
        self._read_at: tuple[int, int] | None = None

    def make_if_missing(self) -> bool:
        """Make the file on a first start; tells whether it did.

        Raises:
            VaultKeyUnusable: if it cannot be made or used.
        """
        missing = not self._file.exists()
        try:
            if missing:
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with suppress(FileExistsError):  # another collector that starts with us was faster
                    self._write(_Ring(secrets.token_bytes(_KEY_BYTES), _new_wrapping_key()), replace=False)
        except OSError as error:
            raise VaultKeyUnusable(f"The vault's key {self._file} cannot be made: {error}.") from error
        self._load()
        return missing

    def locate(self, kind: str, organisation: str, name: str) -> bytes:
        """Give the place of a subject: 32 bytes that tell nothing of its name to whoever lacks the index key."""
        text = f"{kind}\0{organisation}\0{name}"
        return hmac.digest(self._load().index, text.encode(), hashlib.sha256)

    def wrap(self, data: bytes, about: bytes) -> bytes:
        """Encrypt a data key (or other small data) with the newest wrapping key."""
        id_, key = next(iter(self._load().wrapping.items()))
        return id_ + seal(key, data, about)

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """Decrypt what `wrap` encrypted.

        Raises:
            VaultKeyUnusable: if it was encrypted with a key that the file does not have.
        """
        key = self._load().wrapping.get(wrapped[:_ID_BYTES])
        if key is None:
            raise VaultKeyUnusable(
                f"The vault was encrypted with another key than those in {self._file}. Give every collector of this "
                "database the same P402_VAULT_KEY_FILE, the one that it began with."
            )
        return unseal(key, wrapped[_ID_BYTES:], about)

    def is_newest(self, wrapped: bytes) -> bool:
        """Tell whether something was encrypted with the newest wrapping key."""
        return wrapped[:_ID_BYTES] == next(iter(self._load().wrapping))

    def add_wrapping_key(self) -> None:
        """Put a new wrapping key before the others."""
        ring = self._load()
        self._write(_Ring(ring.index, {**_new_wrapping_key(), **ring.wrapping}), replace=True)

    def forget_old_wrapping_keys(self) -> int:
        """Keep the newest wrapping key only; what is encrypted with others is lost. Returns how many those were."""
        ring = self._load()
        newest = next(iter(ring.wrapping.items()))
        self._write(_Ring(ring.index, dict([newest])), replace=True)
        return len(ring.wrapping) - 1

    def _load(self) -> _Ring:
        try:
            status = self._file.stat()
            changed = (status.st_mtime_ns, status.st_ino)
            ring = self._ring
            if ring is None or changed != self._read_at:
                with self._lock:
                    ring = self._ring = _parse(self._file.read_text(encoding="ascii"))
                    self._read_at = changed
        except OSError as error:
            raise VaultKeyUnusable(f"The vault's key {self._file} cannot be read: {error}.") from error
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise VaultKeyUnusable(
                f"{self._file} is not a key file of the vault. Restore it from where you keep it."
            ) from error
        return ring

    def _write(self, ring: _Ring, *, replace: bool) -> None:
        """Write the file as a whole, readable by its owner only, and synced."""
        text = json.dumps(
            {
                "version": 1,
                "index": _text(ring.index),
                "wrapping": [{"id": id_.hex(), "key": _text(key)} for id_, key in ring.wrapping.items()],
            },
            indent=1,
        )
        with tempfile.NamedTemporaryFile("w", dir=self._file.parent, prefix=".vault-", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
            if replace:
                second = Path(f"{file.name}.new")
                os.link(file.name, second)
                second.replace(self._file)
            else:
                os.link(file.name, self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def new_data_key() -> bytes:
    """Draw the key of one subject."""
    return secrets.token_bytes(_KEY_BYTES)


def seal(key: bytes, data: bytes, about: bytes) -> bytes:
    """Encrypt (AES-256-GCM): nonce, then ciphertext with its tag. ``about`` must be said again to decrypt."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, about)


def unseal(key: bytes, sealed: bytes, about: bytes) -> bytes:
    """Decrypt what `seal` encrypted.

    Raises:
        VaultKeyUnusable: if it was changed, or moved to another place.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
    except InvalidTag as error:
        raise VaultKeyUnusable(
            "Something in the vault cannot be decrypted: it was changed, or is not where it belongs."
        ) from error


def _new_wrapping_key() -> dict[bytes, bytes]:
    return {secrets.token_bytes(_ID_BYTES): secrets.token_bytes(_KEY_BYTES)}


def _parse(text: str) -> _Ring:
    document = json.loads(text)
    wrapping = {bytes.fromhex(key["id"]): _key(key["key"]) for key in document["wrapping"]}
    if document["version"] != 1 or not wrapping or any(len(id_) != _ID_BYTES for id_ in wrapping):
        raise ValueError("not a key file")
    return _Ring(_key(document["index"]), wrapping)


def _key(text: str) -> bytes:
    key = base64.b64decode(text, validate=True)
    if len(key) != _KEY_BYTES:
        raise ValueError("a key has 32 bytes")
    return key


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()
