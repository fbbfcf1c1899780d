"""Providers that have the results of batches to download, in their own words, on a real socket."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_BATCH = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "created_at": "2026-11-23T10:00:00Z",
    "ended_at": "2026-11-23T11:00:00Z",
    "expires_at": "2026-11-24T10:00:00Z",
    "processing_status": "ended",
    "request_counts": {"canceled": 0, "errored": 1, "expired": 0, "processing": 0, "succeeded": 2},
}


def anthropic_line(number: int) -> dict[str, Any]:
    """One result: 1,000 tokens in and 100 out, and its number more of the latter."""
    message = {
        "id": f"msg_batch_{number:010}",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-5-20251101",
        "content": [{"type": "text", "text": f"SECRET-{number} {'said' * 40}"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1_000, "output_tokens": 100 + number, "service_tier": "batch"},
    }
    return {"custom_id": f"c-{number}", "result": {"type": "succeeded", "message": message}}


def openai_line(number: int, body: dict[str, Any]) -> dict[str, Any]:
    response = {"status_code": 200, "request_id": f"r-{number}", "body": body}
    return {"id": f"batch_req_{number:010}", "custom_id": f"c-{number}", "response": response, "error": None}


CHAT = {
    "id": "chatcmpl-batch-000001",
    "object": "chat.completion",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "SECRET"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
    "service_tier": "default",
}
EMBEDDING = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}
RESPONSE = {
    "id": "resp_batch_0000000001",
    "object": "response",
    "model": "o3-2025-04-16",
    "status": "completed",
    "output": [],
    "usage": {"input_tokens": 50, "output_tokens": 5, "total_tokens": 55},
}
FAILED = {"id": "batch_req_failed", "custom_id": "c-9", "response": None, "error": {"code": "batch_expired"}}
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "SECRET"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1_000, "candidatesTokenCount": 100, "totalTokenCount": 1_100},
    "modelVersion": "gemini-2.5-flash",
    "responseId": "2gMcaYDfNvC",
}
_ERRORED = {
    "custom_id": "c-8",
    "result": {"type": "errored", "error": {"type": "error", "error": {"type": "api_error"}}},
}
_OPERATION = {
    "name": "batches/b1",
    "done": True,
    "metadata": {
        "model": "models/gemini-2.5-flash",
        "state": "BATCH_STATE_SUCCEEDED",
        "output": {
            "inlinedResponses": {"inlinedResponses": [{"response": GEMINI}, {"error": {}}, {"response": GEMINI}]}
        },
    },
}


def lines(*documents: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


@dataclass
class BatchProviders:
    """What is served: content type and body by path; requests that were made."""

    url: str = ""
    bodies: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    gzipped: bool = False
    asked: list[str] = field(default_factory=list)
    baggage: list[str | None] = field(default_factory=list)


@contextmanager
def batch_providers() -> Iterator[BatchProviders]:
    """Serve until the block ends."""
    served = BatchProviders()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            served.asked.append(path)
            served.baggage.append(self.headers["baggage"])
            content_type, body = served.bodies.get(path, ("application/json", b'{"error": {"message": "not here"}}'))
            self.send_response(200 if path in served.bodies else 404)
            if served.gzipped:
                body = gzip.compress(body)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    jsonl = "application/x-jsonl"
    batch = {**_BATCH, "results_url": f"{served.url}/v1/messages/batches/msgbatch_1/results"}
    served.bodies = {
        "/v1/messages/batches/msgbatch_1": ("application/json", json.dumps(batch).encode()),
        "/v1/messages/batches/msgbatch_1/results": (jsonl, lines(anthropic_line(1), _ERRORED, anthropic_line(2))),
        "/v1/files/file-1/content": (
            "application/octet-stream",
            lines(openai_line(1, CHAT), FAILED, openai_line(2, EMBEDDING), openai_line(3, RESPONSE)).rstrip(),
        ),
        "/v1/batches/b1": ("application/json", json.dumps(_OPERATION).encode()),
        "/v1/files/f1:download": (jsonl, lines({"key": "a", "response": GEMINI}, {"key": "b", "error": {}})),
    }
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
