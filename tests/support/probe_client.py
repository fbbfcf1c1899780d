"""Many calls at the same moment against a small cap: each costs $0.00472, 688 tokens in and 300 out of gpt-4o.

Run: probe_client.py PROVIDER_URL CALLS [MAX_TOKENS]. Prints a JSON list with what became of each call: refused, cut (its answer
was shortened) or whole.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import openai

from p402.instrumentation import attribution, instrument

INPUT_BYTES = 688 * 4  # mock providers count a token for every four bytes
OUTPUT_TOKENS = 300
QUESTION = f"Answer in {OUTPUT_TOKENS} tokens."
PROMPT = ("word " * INPUT_BYTES)[: INPUT_BYTES - len(QUESTION)] + QUESTION


async def call(gpt: openai.AsyncOpenAI, limits: dict[str, Any]) -> str:
    try:
        with attribution(organisation="acme", department="legal"):
            answer = await gpt.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": PROMPT}], **limits
            )
    except openai.PermissionDeniedError:
        return "refused"
    return "whole" if answer.usage and answer.usage.completion_tokens == OUTPUT_TOKENS else "cut"


async def main(provider: str, calls: int, limits: dict[str, Any]) -> None:
    gpt = openai.AsyncOpenAI(api_key="k", base_url=f"{provider}/v1")
    print(json.dumps(await asyncio.gather(*(call(gpt, limits) for _ in range(calls)))))


if __name__ == "__main__":
    url, count, *most = sys.argv[1:]
    instrument()
    asyncio.run(main(url, int(count), {"max_tokens": int(most[0])} if most else {}))
