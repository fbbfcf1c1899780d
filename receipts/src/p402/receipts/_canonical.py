"""The one byte form of a JSON value (RFC 8785), so that everybody hashes the same bytes."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import rfc8785

from p402.receipts.errors import Malformed, NotCanonical

__all__ = ["canonical", "member", "parse_canonical", "parse_json"]

T = TypeVar("T")

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_MAX_DEPTH = 64
_MAX_INT = 2**53 - 1  # what every reader of JSON keeps exactly
_MAX_DIGITS = 17  # of such a number with its sign


def canonical(value: Any) -> bytes:
    """Encode a JSON value in its canonical form.

    Raises:
        NotCanonical: for floats (amounts are decimal strings), whole numbers beyond 2⁵³-1, lone surrogates, and
            anything that JSON does not have.
    """
    try:
        # With ASCII names, code points sort like UTF-16 and the standard encoder gives the same bytes, much faster.
        plain = _is_plain(value) or _has_ascii_names(value, "$")
        return _ENCODER.encode(value).encode() if plain else rfc8785.dumps(value)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"This value has no canonical form: {error}.") from error


def parse_canonical(data: bytes) -> Any:
    """Decode bytes that must be canonical: encoding the result again gives the same bytes.

    Raises:
        NotCanonical: if they are not.
    """
    value = parse_json(data)
    if canonical(value) != data:
        raise NotCanonical("The bytes are JSON, but not in canonical form (RFC 8785).")
    return value


def parse_json(data: bytes) -> Any:
    """Decode JSON without what readers disagree about: floats, NaN, whole numbers beyond 2⁵³-1, names twice in an object.

    Raises:
        NotCanonical: if there is any of these, or if it is no JSON in UTF-8 of at most 64 levels.
    """
    if _depth(data) > _MAX_DEPTH:
        raise NotCanonical(f"This is nested more than {_MAX_DEPTH} deep, which nothing of receipts is.")
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_distinct,
            parse_int=_exact,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
    except ValueError as error:
        raise NotCanonical(f"This is not JSON as receipts use it: {error}.") from error


def member(value: Any, name: str, kind: type[T]) -> T:
    """Take a member of a decoded object; raise Malformed if it is missing or of another type (true is no number)."""
    item = value.get(name) if isinstance(value, dict) else None
    if not isinstance(item, kind) or isinstance(item, bool):
        raise Malformed(f"{name!r} is missing or is not of type {kind.__name__}.")
    return item


def _depth(data: bytes) -> int:
    """Tell how deep brackets nest outside strings.

    Known before decoding, because the decoder recurses in C: where the recursion limit was raised (py_ecc, which web3
    imports, raises it a hundredfold) deep nesting would end the process instead of raising an error.
    """
    if data.count(b"[") + data.count(b"{") <= _MAX_DEPTH:
        return 0  # whatever it is, it is allowed
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return result


def _exact(text: str) -> int:
    if len(text) > _MAX_DIGITS or abs(number := int(text)) > _MAX_INT:
        raise ValueError(
            f"{text[:_MAX_DIGITS]} is or begins a whole number beyond 2⁵³-1, which not every reader keeps exactly"
        )
    return number


def _no_float(text: str) -> Any:
    raise ValueError(f"{text[:80]} is a number with a fraction or an exponent; amounts are decimal strings")


def _is_plain(value: Any) -> bool:
    """Tell quickly whether a value holds only what JSON and RFC 8785 encode alike; false is a reason to look closely."""
    rest = [value]
    while rest:
        item = rest.pop()
        kind = type(item)
        if kind is dict:
            if not all(isinstance(name, str) and name.isascii() for name in item):
                return False
            rest.extend(item.values())
        elif kind is list or kind is tuple:
            rest.extend(item)
        elif kind is int:
            if not -_MAX_INT <= item <= _MAX_INT:
                return False
        elif not (kind is str or kind is bool or item is None):
            return False
    return True


def _has_ascii_names(value: Any, path: str) -> bool:
    """Refuse floats, and tell whether the value holds only what JSON and RFC 8785 encode alike."""
    if isinstance(value, str) or value is None:
        return True
    if isinstance(value, int):
        return abs(value) <= _MAX_INT
    if isinstance(value, dict):
        plain = [
            _has_ascii_names(item, f"{path}.{name}") and isinstance(name, str) and name.isascii()
            for name, item in value.items()
        ]
        return all(plain)
    if isinstance(value, list | tuple):
        plain = [_has_ascii_names(item, f"{path}[{index}]") for index, item in enumerate(value)]
        return all(plain)
    if isinstance(value, float):
        raise NotCanonical(f"{path} is the float {value!r}; write amounts as decimal strings and counts as integers.")
    return False
