"""Content encodings of HTTP, undone piece by piece (RFC 9110, section 8.4)."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any

__all__ = ["Decode", "decoder"]

Decode = Callable[[bytes], bytes]
"""Takes the next piece of an encoded body and gives what it decodes to, perhaps nothing yet."""


def decoder(content_encoding: str) -> Decode | None:
    """Make a decoder for the value of a ``Content-Encoding`` header; None for an encoding we cannot undo.

    ``br`` needs the package ``brotli`` or ``brotlicffi``, ``zstd`` the package ``zstandard``. An HTTP client that
    asks for an encoding has the package for it.
    """
    decoders: list[Decode] = []
    for name in reversed(content_encoding.lower().split(",")):
        if name.strip() in {"", "identity"}:
            continue
        make = _MAKERS.get(name.strip())
        decode = make() if make else None
        if decode is None:
            return None
        decoders.append(decode)
    return _chain(decoders)


def _chain(decoders: list[Decode]) -> Decode:
    if not decoders:
        return bytes

    def decode(data: bytes) -> bytes:
        for step in decoders:
            data = step(data)
        return data

    return decode


def _gzip() -> Decode:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress


def _deflate() -> Decode:
    """Deflate should come in zlib's wrapping, but some servers send it bare: the first piece tells."""
    inflate: Decode | None = None

    def decode(data: bytes) -> bytes:
        nonlocal inflate
        if inflate is not None:
            return inflate(data)
        inflate = zlib.decompressobj().decompress
        try:
            return inflate(data)
        except zlib.error:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS).decompress
            return inflate(data)

    return decode


def _brotli() -> Decode | None:
    module = _optional("brotli") or _optional("brotlicffi")
    if module is None:
        return None
    decompressor = module.Decompressor()
    decode: Decode = getattr(decompressor, "process", None) or decompressor.decompress
    return decode


def _zstd() -> Decode | None:
    module = _optional("zstandard")
    if module is None:
        return None
    decode: Decode = module.ZstdDecompressor().decompressobj().decompress
    return decode


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_MAKERS: dict[str, Callable[[], Decode | None]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
