"""OpenAI's wire format: chat completions, responses and embeddings.

Sources: the API reference (https://platform.openai.com/docs/api-reference) and the types of the ``openai`` SDK,
against which the tests hold every answer.
"""

from __future__ import annotations

import base64
import struct
from typing import Any

from p402.collector.demo.providers.script import ProviderCall, Reply, ToolCall, output_limit, pieces
from p402.collector.demo.providers.wire import JSON, Api, Endpoint, Event

__all__ = ["API", "chat_completion", "chat_completion_chunks", "embeddings", "error", "response", "response_events"]

_CREATED = 1_767_225_600  # one moment for all answers, so that a run can be repeated to the byte


def chat_completion(call: ProviderCall, reply: Reply, number: int) -> JSON:
    """Answer ``POST /v1/chat/completions``."""
    message: JSON = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
    if reply.tool:
        message |= {"content": None, "tool_calls": [_chat_tool_call(reply.tool, number)]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(call, reply)}
    return {**_chat_head(call, number, "chat.completion"), "choices": [choice], "usage": _chat_usage(reply)}


def chat_completion_chunks(call: ProviderCall, reply: Reply, number: int) -> list[Event]:
    """Stream the same. Usage comes in a last chunk without choices, and only if the request asks for it.

    When it does, every other chunk carries ``usage: null``; otherwise none has the field.
    """
    with_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
    head = _chat_head(call, number, "chat.completion.chunk")

    def chunk(delta: JSON, finish_reason: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return Event({**head, "choices": [choice], **({"usage": None} if with_usage else {})})

    return [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        *(
            [chunk({"tool_calls": [{"index": 0, **_chat_tool_call(reply.tool, number)}]})]
            if reply.tool
            else (chunk({"content": piece}) for piece in pieces(reply.text))
        ),
        chunk({}, _finish_reason(call, reply)),
        *([Event({**head, "choices": [], "usage": _chat_usage(reply)})] if with_usage else []),
        Event("[DONE]"),
    ]


def response(call: ProviderCall, reply: Reply, number: int) -> JSON:
    """Answer ``POST /v1/responses``."""
    cut = _is_cut(call, reply)
    item = _message(number, [_output_text(reply.text)], "incomplete" if cut else "completed")
    if reply.tool:
        item = _function_call(reply.tool, number, reply.tool.arguments, "completed")
    return {
        **_response_head(call, number),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [item],
        "usage": {
            "input_tokens": reply.input_tokens,
            "input_tokens_details": {
                "cached_tokens": reply.cache_read_tokens,
                "cache_write_tokens": reply.cache_write_tokens,
            },
            "output_tokens": reply.output_tokens,
            "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
            "total_tokens": reply.input_tokens + reply.output_tokens,
        },
    }


def response_events(call: ProviderCall, reply: Reply, number: int) -> list[Event]:
    """Stream the same, as the whole sequence of events; the last one carries the usage."""
    begun = {**_response_head(call, number), "status": "in_progress", "output": [], "usage": None}
    done = response(call, reply, number)
    [item] = done["output"]
    events: list[JSON] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *(_tool_events(reply.tool, number) if reply.tool else _text_events(reply.text, number)),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": f"response.{done['status']}", "response": done},
    ]
    return [Event({**event, "sequence_number": place}, event["type"]) for place, event in enumerate(events)]


def embeddings(call: ProviderCall, reply: Reply, _number: int) -> JSON:
    """Answer ``POST /v1/embeddings``: a vector for each input, in base64 when asked (the SDK asks by default)."""
    given = call.body.get("input", "")
    count = len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
    vector = [0.5, -0.5, 0.25, -0.25] * (call.body.get("dimensions", 8) // 4)
    in_base64 = call.body.get("encoding_format") == "base64"
    written: Any = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if in_base64 else vector
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": written} for index in range(count)],
        "model": call.model,
        "usage": {"prompt_tokens": reply.input_tokens, "total_tokens": reply.input_tokens},
    }


def error(status: int, message: str) -> JSON:
    """Write an error in OpenAI's shape."""
    kind, code = _ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))  # noqa: PLR2004 - HTTP's server errors
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


API = Api(
    provider="openai",
    endpoints={
        "/v1/chat/completions": Endpoint(chat_completion, chat_completion_chunks),
        "/v1/responses": Endpoint(response, response_events),
        "/v1/embeddings": Endpoint(embeddings),
    },
    keys=(("authorization", "Bearer "),),
    error=error,
)

_ERRORS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def _is_cut(call: ProviderCall, reply: Reply) -> bool:
    limit = output_limit(call)
    return limit is not None and reply.output_tokens >= limit


def _finish_reason(call: ProviderCall, reply: Reply) -> str:
    if reply.tool:
        return "tool_calls"
    return "length" if _is_cut(call, reply) else "stop"


def _tier(call: ProviderCall) -> str:
    asked = call.body.get("service_tier")
    return asked if asked in {"flex", "priority"} else "default"


def _chat_head(call: ProviderCall, number: int, kind: str) -> JSON:
    return {
        "id": f"chatcmpl-{number:012d}",
        "object": kind,
        "created": _CREATED,
        "model": call.model,
        "service_tier": _tier(call),
        "system_fingerprint": "fp_p402demo",
    }


def _chat_usage(reply: Reply) -> JSON:
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": reply.cache_read_tokens,
            "cache_write_tokens": reply.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": reply.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _response_head(call: ProviderCall, number: int) -> JSON:
    return {
        "id": f"resp_{number:012d}",
        "object": "response",
        "created_at": _CREATED,
        "error": None,
        "incomplete_details": None,
        "instructions": call.body.get("instructions"),
        "max_output_tokens": call.body.get("max_output_tokens"),
        "metadata": {},
        "model": call.model,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "service_tier": _tier(call),
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
    }


def _text_events(text: str, number: int) -> list[JSON]:
    message = _message(number, [], "in_progress")
    place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    return [
        {"type": "response.output_item.added", "output_index": 0, "item": message},
        {"type": "response.content_part.added", **place, "part": _output_text("")},
        *({"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []} for piece in pieces(text)),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": _output_text(text)},
    ]


def _tool_events(tool: ToolCall, number: int) -> list[JSON]:
    item = _function_call(tool, number, "", "in_progress")
    place = {"item_id": item["id"], "output_index": 0}
    done = {"type": "response.function_call_arguments.done", **place, "arguments": tool.arguments}
    return [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.function_call_arguments.delta", **place, "delta": tool.arguments},
        done,
    ]


def _chat_tool_call(tool: ToolCall, number: int) -> JSON:
    function = {"name": tool.name, "arguments": tool.arguments}
    return {"id": f"call_{number:012d}", "type": "function", "function": function}


def _function_call(tool: ToolCall, number: int, arguments: str, status: str) -> JSON:
    ids = {"id": f"fc_{number:012d}", "call_id": f"call_{number:012d}"}
    return {"type": "function_call", **ids, "name": tool.name, "arguments": arguments, "status": status}


def _message(number: int, content: list[JSON], status: str) -> JSON:
    return {"id": f"msg_{number:012d}", "type": "message", "role": "assistant", "status": status, "content": content}


def _output_text(text: str) -> JSON:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
