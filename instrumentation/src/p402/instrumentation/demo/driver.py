"""An application that makes the calls it is told of, by the SDKs of OpenAI, Anthropic and Google.

It reads one call a line from its input, as JSON, and writes one line about each that has ended::

    {"model": "gpt-4o", "input_tokens": 900, "output_tokens": 200, "department": "sales", "session": "…"}
    {"session": "…", "model": "gpt-4o", "answered_by": "gpt-4o", "refused": null, "failed": null}

All names of levels, ``task_type`` and ``data_class`` may be said; ``most_tokens`` limits the answer. Calls of one session are
made one after another, others beside them. The mock providers of the collector's demo count four bytes as a token and write
what they are asked for, so that a call is as long as its line says.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p402.instrumentation import attribution
from p402.instrumentation.demo.agent import sdk

if TYPE_CHECKING:  # the three SDKs are an extra, and imported when the driver starts
    import anthropic
    import openai
    from google import genai

__all__ = ["Driver", "main", "prompt_of"]

_WHOSE = ("organisation", "department", "project", "client", "employee", "session", "task_type", "data_class")
_MOCK_KEY = "demo"
_MOST_AT_ONCE = 16
_LONGEST_LINE = 65_536
_FORBIDDEN = 403
_FILLER = "The minutes, the figures and the source that this is about follow word for word, as they were handed in. "


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the calls of the input until it ends.

    Raises:
        SystemExit: if an SDK is not installed.
    """
    parser = argparse.ArgumentParser(prog="python -m p402.instrumentation.demo.driver")
    parser.add_argument("--providers", required=True, help="base URL that serves all three", metavar="URL")
    asyncio.run(_drive(parser.parse_args(arguments).providers))


async def _drive(base_url: str) -> None:
    driver = Driver.connect(base_url)
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    turns: dict[str, asyncio.Task[None]] = {}
    room = asyncio.Semaphore(_MOST_AT_ONCE)

    async def take_turn(order: Mapping[str, Any], before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        async with room:
            print(json.dumps(await driver.call(order)), flush=True)

    while line := await lines.readline():
        order = json.loads(line)
        session = str(order.get("session"))
        turns[session] = asyncio.create_task(take_turn(order, turns.get(session)))
        turns = {name: turn for name, turn in turns.items() if not turn.done()}
    if turns:
        await asyncio.wait(turns.values())


def prompt_of(input_tokens: int, output_tokens: int) -> str:
    """Write a prompt of so many tokens that asks for an answer of so many."""
    asked = f"Answer this in {output_tokens:,} tokens. "
    size = max(len(asked), 4 * input_tokens)
    return (asked + _FILLER * (size // len(_FILLER) + 1))[:size]


@dataclass(frozen=True)
class Driver:
    """The application; it would make the same calls without P402 Meter."""

    gpt: openai.AsyncOpenAI
    claude: anthropic.AsyncAnthropic
    gemini: genai.Client

    @classmethod
    def connect(cls, base_url: str) -> Driver:
        """Make the SDKs' clients."""
        return cls(
            sdk("openai").AsyncOpenAI(base_url=f"{base_url}/v1", api_key=_MOCK_KEY),
            sdk("anthropic").AsyncAnthropic(base_url=base_url, api_key=_MOCK_KEY),
            sdk("google.genai").Client(http_options={"base_url": base_url}, api_key=_MOCK_KEY),
        )

    async def call(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call; tells what became of it."""
        answered_by = refused = failed = None
        try:
            async with attribution(**{name: order[name] for name in _WHOSE if order.get(name) is not None}):
                answered_by = await self._ask(order)
        except Exception as error:  # noqa: BLE001 - each SDK has errors of its own, and the next call is to be made anyway
            if getattr(error, "status_code", getattr(error, "code", None)) == _FORBIDDEN:
                refused = getattr(error, "message", None) or str(error)
            else:
                failed = f"{type(error).__name__}: {error}"[:200]
        told = {"session": order.get("session"), "model": order["model"]}
        return {**told, "answered_by": answered_by, "refused": refused, "failed": failed}

    async def _ask(self, order: Mapping[str, Any]) -> str | None:
        model, prompt = order["model"], prompt_of(order["input_tokens"], order["output_tokens"])
        most = order.get("most_tokens") or 2 * order["output_tokens"]
        if model.startswith("claude"):
            said = [{"role": "user", "content": prompt}]
            message = await self.claude.messages.create(model=model, max_tokens=most, messages=said)  # type: ignore[arg-type] # plain values
            return message.model
        if model.startswith("gemini"):
            config = {"max_output_tokens": most}
            answer = await self.gemini.aio.models.generate_content(model=model, contents=prompt, config=config)  # type: ignore[arg-type] # plain values
            return answer.model_version
        if model.startswith("text-embedding"):
            return (await self.gpt.embeddings.create(model=model, input=prompt)).model
        said = [{"role": "user", "content": prompt}]
        chat = await self.gpt.chat.completions.create(model=model, max_completion_tokens=most, messages=said)  # type: ignore[arg-type] # plain values
        return chat.model


if __name__ == "__main__":
    main()
