"""What a call was for: its pattern, and the kind of work; told from the request's shape, without its text."""

from __future__ import annotations

import time
from typing import Any

import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from p402.instrumentation import attribution
from p402.instrumentation.fingerprints import prompt_pattern
from p402.instrumentation.messages import ends_of
from p402.instrumentation.task_type import infer
from support.metering import Llm, Spans, metered

KEY = b"a-key-of-sixteen-characters"
CHAT, MESSAGES_PATH, GENERATE = "/v1/chat/completions", "/v1/messages", "/v1beta/models/m:generateContent"


def _pattern(body: Any, key: bytes = KEY) -> str:
    return prompt_pattern(key, "chat", body, ends_of(body, 2048))


def _task(body: Any, path: str = CHAT, operation: str = "chat") -> tuple[str, str] | None:
    found = infer(operation, path, body, ends_of(body, 2048))
    return (found[0], found[1].value) if found else None


def _asked(user: str, system: str = "", **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}] if system else []
    return {"model": "m", "messages": [*messages, {"role": "user", "content": user}], **more}


TEMPLATE = 'You review contract {number} of "{name}". Its text has the id {literal}. Answer in three points.'


def test_requests_from_one_template_have_one_pattern() -> None:
    first = TEMPLATE.format(number=17, name="Acme", literal="a" * 40)
    second = TEMPLATE.format(number=4711, name="Globex and Sons", literal="b" * 33)
    assert _pattern(_asked("Is it in order?", first)) == _pattern(_asked("And is this one?", second))


@pytest.mark.parametrize(
    "other",
    [
        _asked("Hm?", "You review pull requests."),
        _asked("Hm?"),
        _asked("Hm?", "You review contracts.", tools=[{"type": "function", "function": {"name": "find"}}]),
        _asked("Hm?", "You review contracts.", response_format={"type": "json_object"}),
        {"messages": [{"role": "user", "content": "x"}] * 30, "system": "You review contracts."},
    ],
)
def test_other_shapes_have_other_patterns(other: Any) -> None:
    assert _pattern(other) != _pattern(_asked("Hm?", "You review contracts."))


def test_pattern_is_keyed_and_tells_no_text() -> None:
    body = _asked("zebra", "zebra")
    assert _pattern(body) != _pattern(body, b"another key of some length")
    assert len(_pattern(body)) == 16
    assert int(_pattern(body), 16)


def test_pattern_does_not_depend_on_the_dialects_place_for_instructions() -> None:
    system = "You review contracts."
    blocks = {"system": [{"type": "text", "text": system}], "messages": [{"role": "user", "content": "x"}]}
    assert _pattern({**blocks, "system": system}) == _pattern(blocks)


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        (("summarisation", "low"), _asked("Summarise the following contract: …")),
        (("summarisation", "medium"), _asked("…", "You summarize contracts.")),
        (("translation", "low"), _asked("Translate into French: …")),
        (("code_review", "medium"), _asked("…", "You do code review.")),
        (("code_completion", "high"), _asked("<|fim_prefix|>def f(")),
        (("code_completion", "high"), {"prompt": "def f(", "suffix": "return x"}),
        (("classification", "low"), _asked("Classify this ticket.")),
        (("extraction", "medium"), _asked("…", response_format={"type": "json_schema", "json_schema": {}})),
        (("extraction", "high"), _asked("Extract the parties.", response_format={"type": "json_schema"})),
        (("extraction", "medium"), _asked("…", tools=[{"name": "f"}], tool_choice={"type": "tool", "name": "f"})),
        (("extraction", "medium"), {"contents": "…", "generationConfig": {"responseSchema": {"type": "OBJECT"}}}),
        (("extraction", "medium"), {"input": "…", "text": {"format": {"type": "json_schema"}}}),
        (("agent", "medium"), _asked("Book it.", tools=[{"name": "f"}, {"name": "g"}])),
        (("chat", "medium"), {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
        (("qa", "low"), _asked("Is this contract in order? ")),
        (("image", "high"), {"contents": "…", "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}),
        (("speech", "high"), _asked("…", modalities=["text", "audio"])),
        (None, _asked("Write a poem.")),
        (None, {}),
        (None, {"messages": [{"content": {"a": [1]}}]}),
        (("chat", "medium"), {"messages": [None, 3, {"role": 7}]}),
    ],
)
def test_task_type_is_told_from_the_request(expected: Any, body: Any) -> None:
    assert _task(body) == expected


@pytest.mark.parametrize(
    ("path", "operation", "task"),
    [
        ("/v1/embeddings", "embeddings", "embedding"),
        ("/v1/images/generations", "generate_content", "image"),
        ("/v1/audio/transcriptions", "generate_content", "transcription"),
    ],
)
def test_kind_of_api_is_certain(path: str, operation: str, task: str) -> None:
    assert _task({"input": "translate"}, path, operation) == (task, "high")


def test_parts_of_a_message_are_read_like_its_text() -> None:
    parts = [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "Translate this."}]
    assert _task({"messages": [{"role": "user", "content": parts}]}) == ("translation", "low")
    assert _task({"contents": [{"parts": [{"text": "Translate this."}]}]}, GENERATE) == ("translation", "low")


async def test_a_call_tells_its_pattern_and_inferred_task(spans: Spans, llm: Llm) -> None:
    async with llm.openai() as client:
        await client.embeddings.create(model="m", input="x")
        await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Write a poem."}])
    embedding, poem = [span.attributes or {} for span in spans.calls]
    assert embedding["p402.task_type"] == "embedding"
    assert embedding["p402.task_type.source"] == "inferred"
    assert embedding["p402.task_type.confidence"] == "high"
    assert embedding["p402.prompt_pattern"] != poem["p402.prompt_pattern"]
    assert not [name for name in poem if name.startswith("p402.task_type")]


async def test_what_the_application_says_wins(spans: Spans, llm: Llm) -> None:
    async with llm.openai() as client:
        with attribution(task_type="contract-review"):
            await client.embeddings.create(model="m", input="x")
    told = spans.only()
    assert (told["p402.task_type"], told["p402.task_type.source"]) == ("contract-review", "application")
    assert "p402.task_type.confidence" not in told


async def test_a_span_tells_how_complex_its_request_is_and_which_data_it_is_about(spans: Spans, llm: Llm) -> None:
    hello: ChatCompletionUserMessageParam = {"role": "user", "content": "Hello!"}
    async with llm.openai() as client:
        with attribution(data_class="privileged"):
            await client.chat.completions.create(model="m", messages=[hello])
        await client.chat.completions.create(model="m", messages=[hello], reasoning_effort="high")
    simple, reasoned = [span.attributes or {} for span in spans.calls]
    assert (simple["p402.complexity"], simple["p402.data_class"]) == (0, "privileged")
    assert reasoned["p402.complexity"] == 2
    assert "p402.data_class" not in reasoned


async def test_patterns_with_one_key_are_the_same_in_every_process(llm: Llm) -> None:
    patterns = []
    for key in ("first-key-of-16-characters", "first-key-of-16-characters", ""):
        with metered({"P402_FINGERPRINT_KEY": key}) as spans:
            async with llm.openai() as client:
                await client.embeddings.create(model="m", input="x")
            patterns.append(spans.only()["p402.prompt_pattern"])
    assert patterns[0] == patterns[1] != patterns[2]


def test_a_huge_prompt_costs_no_more_than_a_large_one() -> None:
    small = _asked("word " * 400, "You review contracts. " * 100)
    part = {"role": "user", "content": [{"type": "text", "text": "word " * 20_000}] * 50}
    huge = {"system": "You review contracts. " * 100_000, "messages": [part] * 500, "tools": [{"name": "f"}] * 5_000}

    def cost(body: Any) -> float:
        best = 1.0
        for _ in range(200):
            started = time.perf_counter()
            _pattern(body)
            _task(body)
            best = min(best, time.perf_counter() - started)
        return best

    assert cost(huge) < 10 * cost(small)  # it has 25,000 times as much text
