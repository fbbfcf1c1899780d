"""An application with many calls at once, until it is refused: mixed SDKs and models, streams, cancelled calls.

Run: budget_clients.py PROVIDER_URL NAME WORKERS SEED [ONLY]. Prints a JSON line for each call: its name, which its prompt
holds as well, and what became of it: ok, cancelled, refused, failed, or unavailable (the collector was away). ONLY is a kind of call; without it they are mixed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anthropic
import openai

from p402.instrumentation import attribution, instrument, session

MOST_CALLS = 400  # of one worker; a cap that does not hold must not keep the test for ever
DEPARTMENTS = ("legal", "legal", "marketing")


@dataclass(frozen=True)
class Clients:
    """One client of each SDK, which never tries again by itself: each call is one request."""

    gpt: openai.AsyncOpenAI
    claude: anthropic.AsyncAnthropic


def prompt(call: str, tokens: int) -> str:
    return f"[{call}] " + "Is this clause in order? " * 40 + f"Answer in {tokens} tokens."


async def chat(clients: Clients, call: str, tokens: int, limit: int | None) -> None:
    more = {} if limit is None else {"max_tokens": limit}
    messages = [{"role": "user", "content": prompt(call, tokens)}]
    await clients.gpt.chat.completions.create(model="gpt-4o", messages=messages, **more)  # type: ignore[call-overload]


async def chat_stream(clients: Clients, call: str, tokens: int, limit: int | None) -> None:
    more = {} if limit is None else {"max_tokens": limit}
    messages = [{"role": "user", "content": prompt(call, tokens)}]
    stream = await clients.gpt.chat.completions.create(  # type: ignore[call-overload]
        model="gpt-4o-mini", messages=messages, stream=True, **more
    )
    async for _ in stream:
        pass


async def messages(clients: Clients, call: str, tokens: int, limit: int | None) -> None:
    await clients.claude.messages.create(
        model="claude-haiku-4-5",
        max_tokens=limit or 2_000,
        messages=[{"role": "user", "content": prompt(call, tokens)}],
    )


async def cancelled(clients: Clients, call: str, tokens: int, limit: int | None) -> None:
    task = asyncio.create_task(chat(clients, call, tokens, limit))
    await asyncio.wait([task], timeout=0.05)
    task.cancel()
    await task


Kind = Callable[[Clients, str, int, int | None], Awaitable[None]]
KINDS: dict[str, Kind] = {
    "chat": chat,
    "chat_stream": chat_stream,
    "messages": messages,
    "cancelled": cancelled,
}


async def worker(clients: Clients, name: str, rng: random.Random, only: str | None) -> None:
    """Call until refused for every department; every worker is an employee with sessions of his own."""
    departments: tuple[str, ...] = DEPARTMENTS
    for number in range(MOST_CALLS):
        call = f"{name}-{number}"
        kind = only or rng.choice(list(KINDS))
        tokens = rng.choice((50, 200, 400))
        limit = rng.choice((None, 400))
        with (
            attribution(department=(department := rng.choice(departments)), project="contracts", employee=f"e-{name}"),
            session(f"s-{name}-{number // 5}"),
        ):
            outcome = await attempt(KINDS[kind](clients, call, tokens, limit))
        print(json.dumps({"call": call, "kind": kind, "outcome": outcome}), flush=True)
        if outcome == "refused":
            departments = tuple(one for one in departments if one != department)
            if not departments:
                return
        if outcome == "unavailable":
            await asyncio.sleep(0.2)


async def attempt(call: Awaitable[None]) -> str:
    try:
        await call
    except (openai.PermissionDeniedError, anthropic.PermissionDeniedError) as refusal:
        return "unavailable" if "collector_unreachable" in str(refusal) else "refused"
    except asyncio.CancelledError:
        return "cancelled"
    except (openai.APIError, anthropic.APIError):
        return "failed"
    return "ok"


async def main(provider: str, name: str, workers: int, seed: int, only: str | None) -> None:
    clients = Clients(
        openai.AsyncOpenAI(api_key="k", base_url=f"{provider}/v1", max_retries=0),
        anthropic.AsyncAnthropic(api_key="k", base_url=provider, max_retries=0),
    )
    rngs = [random.Random(f"{seed}-{name}-{number}") for number in range(workers)]
    await asyncio.gather(*(worker(clients, f"{name}{number}", rng, only) for number, rng in enumerate(rngs)))


if __name__ == "__main__":
    url, given, count, seeded, *kind = sys.argv[1:]
    instrument()
    asyncio.run(main(url, given, int(count), int(seeded), kind[0] if kind else None))
