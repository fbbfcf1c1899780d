"""Nothing inside an entry goes unread: each value at any depth has the form that FORMAT.md gives it, and they add up."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from p402.receipts import describe
from p402.receipts.errors import Malformed
from support.sample_entries import log_of_every_type

BODIES: dict[str, dict[str, Any]] = {
    body["type"]: body for body in (json.loads(entry.body) for entry in log_of_every_type().entries)
}
OTHERS: tuple[Any, ...] = (None, True, -1, 7, "", "\x1b[2J ", "7", [], ["\x1b"], {}, {"x": 1})
NULL_TOO = {"department", "project", "client", "verified_through", "supplements", "from", "to"}
ANY_TEXT = {"provider", "model", "routing"}
ANY_ID = {"organisation", "settlement_id", "receipt_id", "review_id", "hold_id", "matter", "erasure_id", "legal_basis"}
ANY_ID |= {"department", "project", "client", "id"}
ANY_NUMBER = {
    "cache_read",
    "cache_write",
    "reasoning",
    "seq",
    "block_number",
    "log_index",
    "chain_id",
    "through_seq",
    "first",
    "last",
    "held_back",
    "part",
    "parts",
}
MAY_BE_EMPTY = {"_sd", "routing", "price_books", "digests"}
Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*path, name)
        yield from places(item, (*path, name))


def at(value: Any, path: Path) -> Any:
    for name in path:
        value = value[name]
    return value


def with_at(kind: str, path: Path, other: Any) -> dict[str, Any]:
    body = copy.deepcopy(BODIES[kind])
    at(body, path[:-1])[path[-1]] = other
    return body


def name_of(path: Path) -> str:
    """The nearest member that has a name."""
    return str(next(name for name in reversed(path) if isinstance(name, str)))


def may_be(kind: str, path: Path, other: Any) -> bool:
    """Whether the format allows another value there."""
    name = name_of(path)
    if other is None:
        return name in NULL_TOO and path[-1] == name
    if other == "7":
        return name in ANY_TEXT | ANY_ID | {"supplements"} or (kind, name) == ("period-close", "cost_usd")
    if other == "\x1b[2J ":
        return name in ANY_TEXT
    if other == ["\x1b"]:
        return path == ("routing",)
    if other == []:
        return path[-1] in MAY_BE_EMPTY
    if other == 7 and not isinstance(other, bool):
        return name in ANY_NUMBER or (kind == "period-close" and name.endswith("charges"))
    return bool(kind == "review" and name == "self_review" and other is True)


@pytest.mark.parametrize("kind", BODIES)
def test_no_value_at_any_depth_may_be_of_another_form(kind: str) -> None:
    describe(BODIES[kind])
    missed = []
    for path in places(BODIES[kind]):
        if path in {("type",), ("version",)}:
            continue
        for other in OTHERS:
            is_same = at(BODIES[kind], path) == other and type(at(BODIES[kind], path)) is type(other)
            if is_same or may_be(kind, path, other):
                continue
            try:
                describe(with_at(kind, path, other))
            except Malformed:
                continue
            missed.append((path, other))
    assert missed == []


@pytest.mark.parametrize("kind", BODIES)
def test_no_object_at_any_depth_may_have_a_member_more_or_less(kind: str) -> None:
    body = BODIES[kind]
    for path in [(), *(path for path in places(body) if isinstance(at(body, path), dict))]:
        more = copy.deepcopy(body)
        at(more, path)["more"] = 1
        with pytest.raises(Malformed):
            describe(more)
        for name in at(body, path):
            less = copy.deepcopy(body)
            del at(less, path)[name]
            with pytest.raises(Malformed):
                describe(less)


@pytest.mark.parametrize("kind", BODIES)
def test_every_list_is_sorted_and_has_nothing_twice(kind: str) -> None:
    body = BODIES[kind]
    for path in (path for path in places(body) if isinstance(at(body, path), list) and at(body, path)):
        for other in (at(body, path) * 2, [at(body, path)[-1], *at(body, path)]):
            with pytest.raises(Malformed):
                describe(with_at(kind, path, other))


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("session-receipt", lambda body: body.update(cost_usd="0.1"), "its models came to"),
        ("session-receipt", lambda body: body.update(cost_usd="0.10"), "an amount in its one spelling"),
        (
            "session-receipt",
            lambda body: body["tokens"].update(total=1),
            "tokens.total is not what its models add up to",
        ),
        ("session-receipt", lambda body: body["models"][0]["tokens"].update(input=1), "tokens.input is not"),
        ("session-receipt", lambda body: body.update(requests=99), "not what its models can come to"),
        ("session-receipt", lambda body: body.update(unpriced_requests=99), "More requests are unpriced"),
        ("session-receipt", lambda body: body["charges"].update(count=99), "not the number of usage_sources"),
        ("session-receipt", lambda body: body["session"].update(opened_at="2030-01-01T00:00:00.000Z"), "ends before"),
        ("session-receipt", lambda body: body["session"].update(part=2), "supplements"),
        ("session-receipt", lambda body: body["session"].update(opened_at="2026-02-30T00:00:00.000Z"), "a time in UTC"),
        ("session-receipt", lambda body: body["session"].update(closed_by="boredom"), "one of api, idle"),
        ("session-receipt", lambda body: body.update(models=[], cost_usd="0"), "models is empty"),
        ("correction", lambda body: body["session"].update(part=1, supplements=None), "supplements"),
        ("hold", lambda body: body["scope"].update(organisation="other"), "another organisation"),
        ("hold", lambda body: body["scope"].update({"to": body["scope"]["from"]}), "ends before it begins"),
        ("erasure", lambda body: body.update(part=2), "part is 2 of 1"),
        ("access-log", lambda body: body.update(count=9), "more than the rows"),
        ("key-rotation", lambda body: body.update(overlap_until="2020-01-01T00:00:00.000Z"), "before the rotation"),
        ("key-rotation", lambda body: body.update(reason="compromised"), "signs nothing any more"),
        ("key-rotation", lambda body: body.update(new_key="acme+00000000+AA=="), "the key of a log"),
        ("period-close", lambda body: body.update(unpriced_charges=9), "More charges are unpriced"),
        ("heartbeat", lambda body: body.update(prev="0" * 64), "and in no other"),
    ],
)
def test_what_contradicts_itself_is_named(kind: str, change: Change, says: str) -> None:
    body = copy.deepcopy(BODIES[kind])
    change(body)
    with pytest.raises(Malformed, match=says):
        describe(body)
