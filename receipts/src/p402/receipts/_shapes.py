"""Forms of the values that entries are made of, which can be put together (FORMAT.md §2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from p402.receipts._note import VerifierKey
from p402.receipts.errors import Malformed
from p402.vocabulary import Money, Permanent, is_valid_id

__all__ = [
    "AMOUNT",
    "ANY_TEXT",
    "COUNT",
    "DIGESTS",
    "FLAG",
    "HASH",
    "ID",
    "KEY",
    "NUMBER",
    "TEXT",
    "TIME",
    "Shape",
    "either",
    "listed",
    "matching",
    "members",
    "one_of",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of a value: called with one and the path at which it stands, it raises Malformed with the path if it has another."""

    kind: type
    """What JSON makes of it: a text, a number, a list, an object, true or false."""
    check: Callable[[Any, str], None]
    nullable: bool = False

    def __call__(self, value: object, path: str) -> None:
        if value is not None or not self.nullable:
            self.check(value, path)


def _texts(is_one: Callable[[str], bool], what: str) -> Shape:
    def check(value: object, path: str) -> None:
        if not isinstance(value, str) or not is_one(value):
            raise Malformed(f"{path} is not {what}: {value!a:.80}.")

    return Shape(str, check)


def matching(pattern: str, what: str) -> Shape:
    """Make the form of a text that matches a pattern as a whole."""
    compiled = re.compile(pattern)
    return _texts(lambda text: compiled.fullmatch(text) is not None, what)


def one_of(values: Collection[str]) -> Shape:
    """Make the form of a text that is one of some."""
    return _texts(lambda text: text in values, "one of " + ", ".join(sorted(values)))


def either(shape: Shape) -> Shape:
    """Make the form of a value that has a form, or is null."""
    return replace(shape, nullable=True)


def _whole_from(least: int) -> Shape:
    def check(value: object, path: str) -> None:
        if type(value) is not int or value < least:
            raise Malformed(f"{path} is not a whole number from {least}: {value!a:.80}.")

    return Shape(int, check)


def members(shapes: Mapping[str, Shape]) -> Shape:
    """Make the form of an object that has exactly some members, each of its form."""

    def check(value: object, path: str) -> None:
        if not isinstance(value, dict) or value.keys() != shapes.keys():
            has = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
            raise Malformed(f"{path} has not exactly the members {', '.join(sorted(shapes))}: {has!a:.200}.")
        for name, shape in shapes.items():
            shape(value[name], f"{path}.{name}")

    return Shape(dict, check)


def listed(shape: Shape, key: Callable[[Any], Any] = lambda item: item, most: int | None = None) -> Shape:
    """Make the form of a list whose items have a form, are sorted by a key, and are there once each."""

    def check(value: object, path: str) -> None:
        if not isinstance(value, list) or (most is not None and len(value) > most):
            raise Malformed(f"{path} is not a list" + (f" of at most {most}." if most is not None else "."))
        for position, item in enumerate(value):
            shape(item, f"{path}[{position}]")
        keys = [key(item) for item in value]
        if any(left >= right for left, right in pairwise(keys)):
            raise Malformed(f"{path} is not sorted, or has something twice.")

    return Shape(list, check)


def _is_time(text: str) -> bool:
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text, re.ASCII) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_amount(text: str) -> bool:
    try:
        return str(Money.parse(text)) == text
    except (ValueError, Permanent):
        return False


def _is_key(text: str) -> bool:
    try:
        return str(VerifierKey.parse(text)) == text
    except Permanent:
        return False


def _flag(value: object, path: str) -> None:
    if not isinstance(value, bool):
        raise Malformed(f"{path} is not true or false: {value!a:.80}.")


ANY_TEXT = _texts(lambda _: True, "a text")
ID = _texts(is_valid_id, "an id")
TEXT = _texts(lambda text: text != "", "a text")
TIME = _texts(_is_time, "a time in UTC with three decimals")
AMOUNT = _texts(_is_amount, "an amount in its one spelling")
HASH = matching("[0-9a-f]{64}", "a hash of 64 lower-case hex digits")
KEY = _texts(_is_key, "the key of a log")
COUNT, NUMBER = _whole_from(0), _whole_from(1)
FLAG = Shape(bool, _flag)
DIGESTS = listed(matching("[A-Za-z0-9_-]{43}", "the digest of a disclosure"))
