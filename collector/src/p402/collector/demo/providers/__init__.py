"""Mock LLM providers that speak the wire formats of OpenAI, Anthropic and Gemini, for demo and tests.

One server answers for all three, with token counts that a script decides::

    async with running(MockProviders(lambda call: Reply("Fine.", input_tokens=12, output_tokens=2))) as base_url:
        client = openai.AsyncOpenAI(base_url=base_url + "/v1", api_key="any")

OpenAI lives under ``/v1``, Anthropic and Gemini (``v1`` and ``v1beta``) at the root, as their SDKs expect.
"""

from p402.collector.demo.providers.script import ProviderCall, Reply, ToolCall, default_script
from p402.collector.demo.providers.server import MockProviders, running

__all__ = ["MockProviders", "ProviderCall", "Reply", "ToolCall", "default_script", "running"]
