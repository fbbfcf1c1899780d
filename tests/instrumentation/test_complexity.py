"""Complexity: from a request's shape, from 0 to 10, never less for more, and never an error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p402.instrumentation.complexity import MOST, Shape, complexity, score
from p402.instrumentation.messages import ends_of

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello!"}]}


def of(body: dict[str, Any], operation: str = "chat", output: int | None = None) -> int:
    return complexity(operation, body, ends_of(body, 2_048), len(json.dumps(body)), output)


def hello(**more: Any) -> dict[str, Any]:
    return {**HELLO, **more}


def said(text: str, system: str = "") -> dict[str, Any]:
    return {"model": "m", "system": system, "messages": [{"role": "user", "content": text}]}


TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}}}


@pytest.mark.parametrize(
    ("body", "points"),
    [
        (HELLO, 0),
        (said("Hello!", "x" * 299), 0),
        (said("Hello!", "x" * 300), 1),
        (said("Hello!", "x" * 1_500), 2),
        (said("x" * 8_000), 1),
        (said("x" * 64_000), 2),
        (hello(messages=[{"role": "user", "content": "Hi"}] * 6), 1),
        (hello(tools=[TOOL]), 1),
        (hello(tools=[TOOL] * 5), 2),
        (hello(tools=[{"functionDeclarations": [{"name": "look"}] * 5}]), 2),
        (hello(toolConfig={"tools": [{"toolSpec": {"name": "look"}}]}), 1),
        (hello(response_format=SCHEMA), 1),
        (hello(reasoning_effort="low"), 1),
        (hello(reasoning_effort="high"), 2),
        (hello(reasoning_effort="none"), 0),
        (hello(reasoning={"effort": "medium"}), 2),
        (hello(thinking={"type": "enabled", "budget_tokens": 2_000}), 2),
        (hello(thinking={"type": "disabled"}), 0),
        (hello(generationConfig={"thinkingConfig": {"thinkingBudget": 0}}), 0),
        (hello(generationConfig={"thinkingConfig": {"thinkingLevel": "LOW"}}), 1),
        (hello(generation_config={"thinking_config": {"thinking_level": "HIGH"}}), 2),
        (hello(generation_config={"thinking_config": {"thinking_budget": 0}}), 0),
        (hello(tools=[{"function_declarations": [{"name": "look"}] * 5}]), 2),
        (hello(think=True), 2),
        (said("def add(a, b):"), 1),
        (said("Show that $$x^2 = 2$$ has no rational root."), 1),
        (said("Sum it up.", "1. read\n2. think\n3. write"), 1),
        (said("Please:\n- read\n- write"), 0),
        (said("Please:\n- read\n- think\n- write"), 1),
        (hello(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]), 1),
        ({"contents": [{"role": "user", "parts": [{"text": "What?"}, {"inlineData": {"data": ""}}]}]}, 1),
    ],
)
def test_each_thing_a_request_has_adds_its_points(body: dict[str, Any], points: int) -> None:
    assert of(body) == points


def test_a_long_answer_adds_a_point_and_an_embedding_has_none() -> None:
    assert (of(HELLO, output=7_999), of(HELLO, output=8_000)) == (0, 1)
    assert of(said("def x" * 10_000), operation="embeddings") == 0


def test_a_review_of_code_with_tools_and_reasoning_is_complex_and_a_greeting_is_not() -> None:
    system = "You review code.\n1. Read all of it.\n2. Name each fault.\n3. Say how to mend it.\n" + "Be exact. " * 30
    review = {
        "system": system,
        "messages": [{"role": "user", "content": "```python\n" + "x = 1\n" * 2_000 + "```"}],
        "tools": [TOOL] * 6,
        "thinking": {"type": "enabled"},
    }
    assert of(review, output=32_000) == 9
    assert of(HELLO, output=100) == 0


shapes = st.builds(
    Shape,
    instructions=st.integers(0, 2_048),
    size=st.integers(0, 200_000),
    turns=st.integers(0, 50),
    tools=st.integers(0, 200),
    structured=st.booleans(),
    reasoning=st.integers(0, 2),
    technical=st.booleans(),
    media=st.booleans(),
    output=st.integers(0, 200_000),
    steps=st.booleans(),
)


@given(shapes)
def test_it_is_from_nought_to_ten(shape: Shape) -> None:
    assert 0 <= score(shape) <= MOST


@given(shapes, shapes)
def test_more_of_anything_never_makes_it_less(one: Shape, other: Shape) -> None:
    more = Shape._make(max(pair) for pair in zip(one, other, strict=True))
    assert score(more) >= max(score(one), score(other))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_fields = st.sampled_from(
    [
        "messages",
        "contents",
        "input",
        "system",
        "tools",
        "toolConfig",
        "reasoning",
        "thinking",
        "generationConfig",
        "reasoning_effort",
        "think",
        "response_format",
        "tool_choice",
        "text",
    ]
)


@given(st.dictionaries(_fields, _json, max_size=6), st.none() | st.integers(0, 10**6))
def test_whatever_a_body_holds_it_is_told_without_an_error_and_always_the_same(
    body: dict[str, Any], output: int | None
) -> None:
    told = of(body, output=output)
    assert 0 <= told <= MOST
    assert of(json.loads(json.dumps(body)), output=output) == told
