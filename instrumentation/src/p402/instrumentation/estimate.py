"""Tokens counted by us, for streams that ended before the provider told its usage.

The first of these that is there counts: ``tiktoken``, if its vocabulary is on this machine's disk (it is never
fetched); ``bpe-openai``, which brings its vocabularies; else four bytes of UTF-8 are taken for a token, rounded up.
OpenAI's vocabularies stand in for those of providers that publish none. A vocabulary takes a third of a second to
load, on a thread of its own. Who first needs it waits for that a moment, but not on an event loop; everybody else takes the
rule of four bytes meanwhile. That rule also counts long texts, so that counting never takes more than some milliseconds.
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

_LONGEST_WAIT = 2.0
"""Seconds. In the child of a fork a load may never end: Python's lock of an import that another thread had begun stays held."""

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
_loaders: dict[str, threading.Thread] = {}
"""Who loads each vocabulary, or has loaded it: one thread of this process for each."""


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
    return _counter_for(model, wait=not _on_an_event_loop())(text)


def exact_counter(model: str) -> Callable[[str], int] | None:
    """Give the tokenizer of a model of OpenAI's, if there is one in memory; else have it loaded, for the next time."""
    counter = _counter_for(model, wait=False)
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


def _counter_for(model: str, *, wait: bool) -> _CountTokens:
    """Give the tokenizer if it is in memory; else have it loaded, if nobody does yet, and perhaps wait for that."""
    vocabulary = _vocabulary(model)
    if vocabulary not in _counters and vocabulary not in _loaders:
        loader = threading.Thread(target=_load, args=(vocabulary,), name="p402-tokenizer", daemon=True)
        with guard("starting to load a tokenizer"):
            if _loaders.setdefault(vocabulary, loader) is loader:  # in one step: nobody else can come in between
                loader.start()
                if wait:
                    loader.join(_LONGEST_WAIT)
    return _counters.get(vocabulary, approximate)


def _load(vocabulary: str) -> None:
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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_loaders.clear)  # the parent's threads are not in the child
