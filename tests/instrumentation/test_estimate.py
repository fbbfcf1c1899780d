"""Tokens counted by us: which tokenizer, which text, and never for long."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiktoken

from p402.instrumentation import estimate
from p402.vocabulary import Usage
from support.metering import until

_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"


@pytest.fixture(autouse=True)
def _nothing_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    _forget()
    yield
    _forget()


def _forget() -> None:
    for loader in estimate._loaders.values():
        loader.join()
    estimate._loaders.clear()
    estimate._counters.clear()


def test_bundled_vocabularies_count_exactly() -> None:
    assert estimate.count_tokens("Is this contract in order?", "gpt-4o") == 6
    assert estimate.count_tokens("Is this contract in order?", "gpt-4-turbo") == 6
    assert set(estimate._counters) == {"o200k_base", "cl100k_base"}
    assert estimate.count_tokens("<|endoftext|>", "gpt-4o") > 1  # a prompt may say this; it is text like any other


def test_tiktoken_counts_when_its_vocabulary_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class OneToken:
        def encode_ordinary(self, _: str) -> list[int]:
            return [1]

    def get_encoding(name: str) -> OneToken:
        asked.append(name)
        return OneToken()

    monkeypatch.setattr(tiktoken, "get_encoding", get_encoding)
    tmp_path.joinpath(hashlib.sha1(_ADDRESS.encode()).hexdigest()).touch()
    assert estimate.count_tokens("Is this contract in order?", "claude-x") == 1
    assert asked == ["o200k_base"]


def test_tiktoken_is_never_asked_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiktoken, "get_encoding", lambda _: pytest.fail("it would fetch"))
    assert estimate.count_tokens("Is this contract in order?", "gpt-4o") == 6


def test_without_any_tokenizer_four_bytes_are_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_counter", lambda *_: None)
    assert estimate.count_tokens("Is this contract in order?", "gpt-4o") == 7


async def test_event_loop_does_not_wait_for_a_vocabulary() -> None:
    assert estimate.count_tokens("Is this contract in order?", "gpt-4o") == 7
    await until(lambda: estimate._counters)
    assert estimate.count_tokens("Is this contract in order?", "gpt-4o") == 6


async def test_all_that_count_while_a_vocabulary_loads_wait_for_one_thread_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = threading.Event()
    monkeypatch.setattr(estimate, "_counter", lambda *_: loaded.wait(10) and None)
    counts = {estimate.count_tokens("Is this contract in order?", "gpt-4o") for _ in range(100)}
    counts.add(await asyncio.to_thread(estimate.count_tokens, "Is this contract in order?", "gpt-4o"))
    assert estimate.exact_counter("gpt-4o") is None
    loaders = [thread for thread in threading.enumerate() if thread.name == "p402-tokenizer"]
    loaded.set()
    assert counts == {7}
    assert len(loaders) == 1


def test_the_child_of_a_fork_while_a_vocabulary_loads_does_not_wait_for_ever(tmp_path: Path) -> None:
    tmp_path.joinpath("bpe_openai.py").write_text(
        "import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)\n"
    )
    code = (
        "import os, threading, time\n"
        "from p402.instrumentation.estimate import count_tokens\n"
        "threading.Thread(target=count_tokens, args=('text', 'gpt-4o'), daemon=True).start()\n"
        "while not os.path.exists('begun'):\n"
        "    time.sleep(0.01)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(count_tokens('Is this contract in order?', 'gpt-4o'))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, timeout=30, check=True
    )
    assert told.stdout == b"7\n"


def test_long_text_is_not_tokenized() -> None:
    estimate.count_tokens("load", "gpt-4o")
    text = "x y " * 1_000_000
    started = time.perf_counter()
    assert estimate.count_tokens(text, "gpt-4o") == 1_000_000
    assert time.perf_counter() - started < 1


def test_prompt_is_text_without_media_ids_and_keys() -> None:
    body = {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                ],
            },
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks."}}],
        "user": "e-117",
    }
    assert estimate.prompt_text(json.dumps(body).encode()).split("\n") == [
        "Be brief.",
        "What is this?",
        "look",
        "Looks.",
    ]


def test_estimate_of_a_request() -> None:
    body = json.dumps({"contents": [{"parts": [{"text": "Is this contract in order?"}]}]}).encode()
    assert estimate.estimate(body, "Yes.", "gemini-x") == Usage(input_tokens=6, output_tokens=2)
