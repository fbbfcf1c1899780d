"""Names in JSON and in sentences, replaced where they mean the person and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from p402.collector.privacy.pseudonyms import Names, new_pseudonym

NAMES = Names({"e-1042": "erased-e"}, {"review-7": "erased-s", "Ada's chat, part 2": "erased-t", "gpt-4o": "erased-m"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"employee": "e-1042", "session": "review-7"}, {"employee": "erased-e", "session": "erased-s"}),
        ({"session_id": "review-7"}, {"session_id": "erased-s"}),
        ({"department": "e-1042", "client": "review-7"}, {"department": "e-1042", "client": "review-7"}),
        ({"employee": "review-7", "session": "e-1042"}, {"employee": "review-7", "session": "e-1042"}),
        ({"model": "gpt-4o", "session": "gpt-4o"}, {"model": "gpt-4o", "session": "erased-m"}),
        ({"level": "employee", "node": "e-1042"}, {"level": "employee", "node": "erased-e"}),
        ({"level": "session", "node": "review-7"}, {"level": "session", "node": "erased-s"}),
        ({"level": "project", "node": "e-1042"}, {"level": "project", "node": "e-1042"}),
        ({"within": {"employee": "e-1042"}}, {"within": {"employee": "erased-e"}}),
        ({"employee": {"before": "e-1042", "after": None}}, {"employee": {"before": "erased-e", "after": None}}),
        ({"bound_to": {"employee": "e-1042"}, "name": "key of e-1042"}, {"bound_to": {"employee": "erased-e"}, "name": "key of erased-e"}),
        ({"owner": "e-1042", "cap": "5"}, {"owner": "erased-e", "cap": "5"}),
        ([{"employee": "e-1042"}], [{"employee": "erased-e"}]),
        ({"employee": None, "calls": 3, "open": True}, {"employee": None, "calls": 3, "open": True}),
        (
            {"summary": "Session Ada's chat, part 2 of e-1042 cost $3.", "session": "Ada's chat, part 2"},
            {"summary": "Session erased-t of erased-e cost $3.", "session": "erased-t"},
        ),
    ],
)  # fmt: skip
def test_what_is_structured_is_replaced_by_what_it_means(before: Any, after: Any) -> None:
    assert NAMES.in_json(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("e-1042", "erased-e"),
        ("Ask e-1042.", "Ask erased-e."),
        ("cap-e-1042", "cap-erased-e"),
        ("(e-1042, review-7)", "(erased-e, erased-s)"),
        ("Was review-7: done?", "Was erased-s: done?"),
        ("e-10422 and xe-1042 are others", "e-10422 and xe-1042 are others"),
        ("review-70 is another", "review-70 is another"),
        ("Ada's chat, part 2", "erased-t"),
        ("nobody", "nobody"),
    ],
)
def test_in_sentences_names_are_replaced_as_words(before: str, after: str) -> None:
    assert NAMES.in_text(before) == after


def test_names_that_could_be_anything_are_no_words() -> None:
    short = Names({"7": "erased-e"}, {"a": "erased-s"})
    assert short.in_text("7 calls of a session") == "7 calls of a session"
    assert short.in_json({"employee": "7", "session": "a"}) == {"employee": "erased-e", "session": "erased-s"}


def test_pseudonyms_are_random() -> None:
    made = {new_pseudonym() for _ in range(1000)}
    assert len(made) == 1000
    assert all(pseudonym.startswith("erased-") and len(pseudonym) == 27 for pseudonym in made)
