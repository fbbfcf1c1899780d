"""An agent that the tests look at in viewers: steps of work with calls in them, in a service that traces itself.

One call is tried again after a failure, one is streamed, one is reported by another instrumentation too, one is given to a
cheaper model, and one is refused. The service's own exporter sends the spans of its steps, and those of the calls with them.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import openai
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from p402.instrumentation import attribution, session
from p402.instrumentation.instrumentor import P402Instrumentor

BASE = sys.argv[1]
MESSAGES: Any = [{"role": "user", "content": "Is this contract in order?"}]
provider = TracerProvider()
tracer = provider.get_tracer("acme.agent")


def main() -> None:
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    P402Instrumentor().instrument()
    gpt = openai.OpenAI(api_key="k", base_url=f"{BASE}/v1")
    with attribution(project="contract-desk", client="northwind", employee="e-1042"), session("review-northwind"):
        with step("invoke_agent reviewer", {"gen_ai.operation.name": "invoke_agent"}):
            with step("plan"):
                ask(gpt, "gpt-4o")  # the provider fails first, and the SDK tries again
            with step("extract"):
                chunks: Any = gpt.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
                assert [chunk for chunk in chunks if chunk.choices]
                with step("execute_tool search_clauses", {"gen_ai.operation.name": "execute_tool"}):
                    pass
            with step("review"):
                reported_twice(gpt, "gpt-4.1")
        with attribution(department="marketing"), step("draft"):
            ask(gpt, "gpt-4o")  # the policy takes a cheaper model
        with attribution(department="frozen"), step("wish"), suppress(openai.PermissionDeniedError):
            ask(gpt, "gpt-4o")  # the budget is spent


def ask(gpt: openai.OpenAI, model: str) -> Any:
    return gpt.chat.completions.create(model=model, messages=MESSAGES, max_completion_tokens=500)


def reported_twice(gpt: openai.OpenAI, model: str) -> None:
    """Call as if an instrumentation of the SDK were there too: it has a span of its own around the call."""
    with step(f"chat {model}", {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}) as span:
        answer = ask(gpt, model)
        span.set_attribute("gen_ai.provider.name", "openai")
        span.set_attribute("gen_ai.response.id", answer.id)
        span.set_attribute("gen_ai.response.model", answer.model)
        span.set_attribute("gen_ai.usage.input_tokens", answer.usage.prompt_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", answer.usage.completion_tokens)


def step(name: str, attributes: dict[str, Any] | None = None) -> Any:
    return tracer.start_as_current_span(name, attributes=attributes)


if __name__ == "__main__":
    main()
