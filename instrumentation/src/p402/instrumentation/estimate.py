"""Tokens counted by us, for streams that ended before the provider told its usage.

The first of these that is there counts: ``tiktoken``, if its vocabulary is on this machine's disk (it is never
fetched); ``bpe-openai``, which brings its vocabularies; else four bytes of UTF-8 are taken for a token, rounded up.
OpenAI's vocabularies stand in for those of providers that publish none. A vocabulary takes a third of a second to
load: on a thread that runs an event loop it is loaded in the background, for the next time, and this time the rule of
four bytes counts. That rule also counts long texts, so that counting never takes more than some milliseconds.
What no text shows (images, hidden reasoning, the few tokens that frame each message) is not in the estimate.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from p402.instrumentation.guard import guard
from p402.vocabulary import Usage

__all__ = ["approximate", "count_tokens", "estimate", "exact_counter", "prompt_text"]

_LONGEST_TEXT = 64 * 1024
"""Characters that a tokenizer is given; it takes about a millisecond for each 3,000."""

_OLDER_MODELS = ("gpt-4-", "gpt-3.5", "text-embedding-")
_PROMPTS = frozenset(
    {
        "contents", "input", "inputText", "instructions", "messages", "prompt", "system", "systemInstruction",
        "system_instruction", "toolConfig", "tools",
    }
)  # fmt: skip
_NOT_TEXT = frozenset(
    {
        "data", "encrypted_content", "file_data", "fileUri", "file_id", "id", "image_url", "media_type", "mimeType",
        "mime_type", "role", "signature", "thoughtSignature", "tool_call_id", "type", "url",
    }
)  # fmt: skip

_CountTokens = Callable[[str], int]
_counters: dict[str, _CountTokens] = {}
_lock = threading.Lock()


def estimate(request_body: bytes, output_text: str, model: str) -> Usage:
    """Count what went in and what had come out."""
    return Usage(
        input_tokens=count_tokens(prompt_text(request_body), model),
        output_tokens=count_tokens(output_text, model),
    )


def count_tokens(text: str, model: str) -> int:
    """Count a text's tokens as well as can be done without delay."""
    if not text or len(text) > _LONGEST_TEXT:
        return approximate(text)
    vocabulary = _vocabulary(model)
    if vocabulary not in _counters:
        if _on_an_event_loop():
            threading.Thread(target=_load, args=(vocabulary,), name="p402-tokenizer", daemon=True).start()
            return approximate(text)
        _load(vocabulary)
    return _counters.get(vocabulary, approximate)(text)


def exact_counter(model: str) -> Callable[[str], int] | None:
    """Give the tokenizer of a model of OpenAI's, if there is one in memory; else have it loaded, for the next time."""
    vocabulary = _vocabulary(model)
    if vocabulary not in _counters:
        threading.Thread(target=_load, args=(vocabulary,), name="p402-tokenizer", daemon=True).start()
        return None
    counter = _counters[vocabulary]
    return None if counter is approximate else counter


def approximate(text: str) -> int:
    """Take four bytes of UTF-8 for a token, rounded up."""
    return -(-len(text.encode(errors="replace")) // 4)


def prompt_text(request_body: bytes) -> str:
    """Gather what a model reads in a request: messages, instructions and tools, without media and ids."""
    body = json.loads(request_body)
    return "\n".join(text for name in body if name in _PROMPTS for text in _texts(body[name]))


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for name, child in node.items():
            if name not in _NOT_TEXT:
                yield from _texts(child)
    elif isinstance(node, list):
        for child in node:
            yield from _texts(child)


def _vocabulary(model: str) -> str:
    return "cl100k_base" if model == "gpt-4" or model.startswith(_OLDER_MODELS) else "o200k_base"


def _on_an_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _load(vocabulary: str) -> None:
    with _lock:
        if vocabulary not in _counters:
            _counters[vocabulary] = _tiktoken(vocabulary) or _bpe_openai(vocabulary) or approximate


def _tiktoken(vocabulary: str) -> _CountTokens | None:
    with guard("loading tiktoken"):
        # tiktoken keeps what it fetched under the SHA-1 of its address; without that file it would go and fetch.
        address = f"https://openaipublic.blob.core.windows.net/encodings/{vocabulary}.tiktoken"
        name = hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
        folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
        if (Path(folder) if folder else Path(tempfile.gettempdir(), "data-gym-cache")).joinpath(name).is_file():
            return _counter("tiktoken", vocabulary)
    return None


def _bpe_openai(vocabulary: str) -> _CountTokens | None:
    with guard("loading bpe-openai"):
        return _counter("bpe_openai", vocabulary)
    return None


def _counter(module_name: str, vocabulary: str) -> _CountTokens | None:
    try:
        module: Any = importlib.import_module(module_name)
    except ImportError:
        return None
    encoding = module.get_encoding(vocabulary)
    return lambda text: len(encoding.encode_ordinary(text))
