"""A day at Acme: a small application that works with the SDKs of OpenAI, Anthropic and Google.

Run it as any service is run, without a change to its code::

    opentelemetry-instrument python -m p402.instrumentation.demo.agent --providers http://127.0.0.1:4402

Instead of ``--providers`` (one address that serves all three, such as the mock providers of the collector's demo) the
SDKs' own ``OPENAI_BASE_URL``, ``ANTHROPIC_BASE_URL`` and ``GOOGLE_GEMINI_BASE_URL`` may say where to call.

The prompt of the contract review is 11,388 bytes long and asks for an answer in 10,000 tokens. The mock providers count
four bytes as a token and write what they are asked for, so that call is 2,847 tokens in and 10,000 out.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from p402.instrumentation import attribution, session

if TYPE_CHECKING:  # the three SDKs are an extra, and imported when the agent starts
    import anthropic
    import openai
    from google import genai

__all__ = ["Agent", "main", "sdk"]

REVIEW_SESSION = "review-northwind-2026"
"""The one session whose id the application gives; the others get theirs from the instrumentation."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the day once.

    Raises:
        SystemExit: if an SDK is not installed, or nothing says where the providers are.
    """
    parser = argparse.ArgumentParser(prog="python -m p402.instrumentation.demo.agent")
    parser.add_argument("--providers", help="one base URL for all three (OpenAI's ends in /v1 there)", metavar="URL")
    base_url = parser.parse_args(arguments).providers
    agent = Agent.connect(
        _address("OPENAI_BASE_URL", f"{base_url}/v1" if base_url else None),
        _address("ANTHROPIC_BASE_URL", base_url),
        _address("GOOGLE_GEMINI_BASE_URL", base_url),
        keys={} if base_url else os.environ,  # a real key is not shown to an address that was only tried out
    )
    with attribution(organisation="acme"):
        agent.review_contract()
        asyncio.run(agent.draft_campaign())
        agent.complete_code()
        agent.answer_question()


@dataclass(frozen=True)
class Agent:
    """The application; it would do the same work without P402 Meter."""

    gpt: openai.OpenAI
    gpt_async: openai.AsyncOpenAI
    claude: anthropic.Anthropic
    gemini: genai.Client

    @classmethod
    def connect(cls, openai_url: str, anthropic_url: str, gemini_url: str, keys: Mapping[str, str]) -> Agent:
        """Make the SDKs' clients; for a key that is not given, one that mock providers accept."""
        gpt = {"base_url": openai_url, "api_key": keys.get("OPENAI_API_KEY", _MOCK_KEY)}
        claude = {"base_url": anthropic_url, "api_key": keys.get("ANTHROPIC_API_KEY", _MOCK_KEY)}
        gemini = {"http_options": {"base_url": gemini_url}, "api_key": keys.get("GEMINI_API_KEY", _MOCK_KEY)}
        return cls(
            sdk("openai").OpenAI(**gpt),
            sdk("openai").AsyncOpenAI(**gpt),
            sdk("anthropic").Anthropic(**claude),
            sdk("google.genai").Client(**gemini),
        )

    def review_contract(self) -> None:
        """Legal reviews a client's contract: plan, extract, review, summarise."""
        with session(
            REVIEW_SESSION,
            department="legal",
            project="contract-desk",
            client="northwind",
            employee="e-1042",
            task_type="contract_analysis",
        ):
            self._ask_claude("planned the review", _PLAN, max_tokens=1_000)
            self._extract_clauses()
            self._ask_claude("reviewed the contract", _REVIEW, max_tokens=12_000)
            with attribution(task_type="summarisation"):
                asyncio.run(self._summarise())

    async def draft_campaign(self) -> None:
        """Marketing writes a campaign: two drafts at once, by a dear model and by a cheap one. No client pays for it."""
        who = attribution(department="marketing", project="spring-campaign", employee="e-2007")
        async with who, session(task_type="content_generation"), self.gpt_async as gpt:
            await asyncio.gather(self._draft(gpt, "gpt-4o"), self._draft(gpt, "gpt-4o-mini"))

    def complete_code(self) -> None:
        """Engineering completes a function, and indexes it for the search."""
        with session(department="engineering", project="search", employee="e-3120"):
            with attribution(task_type="code_completion"):
                self._ask_claude("completed a function", _CODE, max_tokens=400, model="claude-haiku-4-5")
            with attribution(task_type="embedding"):
                self.gpt.embeddings.create(model="text-embedding-3-small", input=["def fingerprint(text): ...", _CODE])
                _say("text-embedding-3-small", "indexed two functions")

    def answer_question(self) -> None:
        """Someone in finance asks something; nobody said who, or for which project: the rest is unattributed."""
        with attribution(department="finance"):
            answer = self.gemini.models.generate_content(model="gemini-2.5-pro", contents=_QUESTION)
        _say("gemini-2.5-pro", "answered a question about a quarter", answer.text)

    def _ask_claude(self, done: str, prompt: str, *, max_tokens: int, model: str = "claude-opus-4-5") -> None:
        answer = self.claude.messages.create(
            model=model, max_tokens=max_tokens, messages=[{"role": "user", "content": prompt}]
        )
        _say(model, done, "".join(block.text for block in answer.content if block.type == "text"))

    def _extract_clauses(self) -> None:
        stream = self.gpt.chat.completions.create(
            model="gpt-4o",
            messages=[
                {"role": "system", "content": "List the clauses that bind Acme."},
                {"role": "user", "content": _CONTRACT},
            ],
            stream=True,  # without asking for usage, as most applications do
        )
        _say("gpt-4o", "extracted the clauses", "".join(chunk.choices[0].delta.content or "" for chunk in stream))

    async def _summarise(self) -> None:
        async with self.gemini.aio as client:
            stream = await client.models.generate_content_stream(
                model="gemini-2.5-flash", contents=f"Summarise for the board, in 300 tokens:\n{_CONTRACT}"
            )
            _say("gemini-2.5-flash", "summarised the contract", "".join([chunk.text or "" async for chunk in stream]))

    async def _draft(self, gpt: openai.AsyncOpenAI, model: str) -> None:
        answer = await gpt.responses.create(model=model, input=_CAMPAIGN, max_output_tokens=900)
        _say(model, "drafted the campaign", answer.output_text)


_MOCK_KEY = "demo"
_CLAUSES = (
    "The supplier delivers the goods within thirty days of the order.",
    "The buyer pays within sixty days of the invoice and may set off claims that are undisputed.",
    "Each party keeps the other's confidential information secret for five years after the end of this contract.",
    "The liability of either party is limited to the fees paid in the twelve months before the claim arose.",
    "Either party may end this contract with ninety days' notice to the end of a calendar quarter.",
)
_CONTRACT = "\n".join(f"{number}. {clause}" for number, clause in enumerate(islice(cycle(_CLAUSES), 150), start=1))
_PLAN = f"Plan the review of a supply contract that begins like this, in 600 tokens:\n{_CONTRACT[:2_000]}"
_REVIEW = f"Review this contract for Acme clause by clause, in 10,000 tokens:\n{_CONTRACT}"[:11_388]
_CAMPAIGN = "Write the spring campaign for garden furniture, in 700 tokens: three posts and a letter to our customers."
_CODE = "Complete this function, in 120 tokens:\n\ndef fingerprint(text: str) -> str:\n    "
_QUESTION = "What moved our gross margin in the third quarter, and is it likely to last? Answer in 500 tokens."


def _address(variable: str, given: str | None) -> str:
    address = given or os.environ.get(variable)
    if not address:
        raise SystemExit(f"Nothing says where the providers are. Give --providers URL, or set {variable}.")
    return address


def sdk(module: str) -> Any:
    """Import an SDK.

    Raises:
        SystemExit: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SystemExit(
            f"The demo agent works with {module}, which is not installed: pip install 'p402-instrumentation[demo]'."
        ) from error


def _say(model: str, done: str, text: str | None = None) -> None:
    length = f" ({len(text):,} characters)" if text else ""
    print(f"{model}: {done}{length}", flush=True)


if __name__ == "__main__":
    main()
