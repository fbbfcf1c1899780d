"""An application as servers run it: WSGI, ASGI, and processes of its own. Each request is one call of a model."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import openai

MESSAGES: Any = [{"role": "user", "content": "Is this contract in order?"}]


def ask() -> None:
    gpt = openai.OpenAI(api_key="k", base_url=os.environ["OPENAI_BASE_URL"])
    gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES)


def wsgi(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    ask()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


async def asgi(scope: dict[str, Any], _: Any, send: Callable[..., Any]) -> None:
    assert scope["type"] == "http"
    gpt = openai.AsyncOpenAI(api_key="k", base_url=os.environ["OPENAI_BASE_URL"])
    await gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=ask) for _ in range(4)]  # type: ignore[attr-defined] # each context has it
    for child in children:
        child.start()
    for child in children:
        child.join()
