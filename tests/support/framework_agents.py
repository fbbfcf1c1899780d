"""Agents of other people's frameworks, each of two steps with a tool between. Run: framework_agents.py NAME BASE_URL.

Nothing here knows of us: the process is started with ``opentelemetry-instrument``, and its environment says who it is for.
"""

from __future__ import annotations

import sys
from typing import Any

QUESTION = "Which law governs clause 7?"


def look_up(clause: int) -> str:
    """Look a clause of the contract up."""
    return f"Clause {clause}: governed by the law of Ireland."


def langchain(base_url: str) -> str:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI

    agent: Any = create_agent(ChatOpenAI(model="gpt-4o", base_url=base_url, api_key="k"), tools=[look_up])
    return str(agent.invoke({"messages": [{"role": "user", "content": QUESTION}]})["messages"][-1].content)


def pydantic_ai(base_url: str) -> str:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url=base_url, api_key="k"))
    return str(Agent(model, tools=[look_up]).run_sync(QUESTION).output)


def openai_agents(base_url: str) -> str:
    from agents import Agent, Runner, function_tool, set_default_openai_client, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)  # it would send its own traces to the provider
    set_default_openai_client(AsyncOpenAI(base_url=base_url, api_key="k"))
    agent = Agent(name="Lawyer", model="gpt-4o", tools=[function_tool(look_up)])
    return str(Runner.run_sync(agent, QUESTION).final_output)


def litellm(base_url: str) -> str:
    import litellm as sdk

    tool = {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"clause": {"type": "integer"}}},
        },
    }
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    asked = {"model": "openai/gpt-4o", "api_base": base_url, "api_key": "k", "tools": [tool]}
    first: Any = sdk.completion(messages=messages, **asked)
    [call] = first.choices[0].message.tool_calls
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": look_up(7)}]
    last: Any = sdk.completion(messages=messages, **asked)
    return str(last.choices[0].message.content)


if __name__ == "__main__":
    print(globals()[sys.argv[1]](sys.argv[2] + "/v1"))
