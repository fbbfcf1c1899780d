"""Bedrock's runtime on this machine: answers as recorded, and checks each request's signature as Amazon would."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session  # type: ignore[import-untyped] # it ships no types
from botocore.auth import SigV4Auth  # type: ignore[import-untyped] # it ships no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped] # it ships no types
from botocore.config import Config  # type: ignore[import-untyped] # it ships no types
from botocore.credentials import Credentials  # type: ignore[import-untyped] # it ships no types

from support.recorded import Recorded, recorded

REGION = "eu-central-1"
_KEYS = Credentials("AKIDEXAMPLE", "secret")
CASES = [case for case in recorded() if case.name.startswith("bedrock-") and "openai" not in case.name]


@dataclass
class Bedrock:
    """What came in, and how to behave."""

    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    """Statuses with which the next requests are answered."""
    answer: tuple[dict[str, str], bytes] | None = None
    """Headers and body to answer with, instead of what is recorded for the path."""

    def client(self) -> Any:
        session = botocore.session.Session()
        session.set_credentials(_KEYS.access_key, _KEYS.secret_key)
        config = Config(retries={"mode": "standard", "max_attempts": 3})
        return session.create_client("bedrock-runtime", region_name=REGION, endpoint_url=self.url, config=config)


@contextmanager
def bedrock() -> Iterator[Bedrock]:
    """Serve until the block ends."""
    state = Bedrock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.headers.append(headers)
            if not signed_as_sent(f"{state.url}{self.path}", headers, body):
                return self.reply(403, {"x-amzn-errortype": "InvalidSignatureException"}, [b"{}"])
            if state.failures:
                status = state.failures.pop(0)
                kind = "ValidationException" if status == HTTPStatus.BAD_REQUEST else "ThrottlingException"
                return self.reply(status, {"x-amzn-errortype": kind}, [b"{}"])
            if state.answer:
                return self.reply(200, state.answer[0], [state.answer[1]])
            case = next(case for case in CASES if case.url.endswith(self.path))
            return self.reply(200, {"content-type": case.content_type}, case.pieces())

        def reply(self, status: int, headers: dict[str, str], pieces: list[bytes]) -> None:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(sum(map(len, pieces)))}.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in pieces:
                self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def signed_as_sent(url: str, headers: dict[str, str], body: bytes) -> bool:
    """Sign again what arrived and compare."""
    match = re.search(r"SignedHeaders=([^,]+), Signature=(\w+)", headers.get("authorization", ""))
    assert match, "the request is not signed"
    signed = {name: headers[name] for name in match[1].split(";") if name in headers and name != "host"}
    request = AWSRequest(method="POST", url=url, data=body, headers=signed)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(_KEYS, "bedrock", REGION)
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    return bool(signer.signature(to_sign, request) == match[2])


def call(client: Any, case: Recorded) -> Any:
    """Make the recorded call and read all of its answer."""
    model, _, operation = case.url.partition("/model/")[2].rpartition("/")
    arguments: dict[str, Any] = {"modelId": model.replace("%3A", ":").replace("%2F", "/")}
    if operation.startswith("converse"):
        answer = getattr(client, operation.replace("-", "_"))(**arguments, **case.request)
        return list(answer["stream"]) if "stream" in answer else answer["output"]
    arguments["body"] = json.dumps(case.request)
    if operation == "invoke":
        return json.loads(client.invoke_model(**arguments)["body"].read())
    return list(client.invoke_model_with_response_stream(**arguments)["body"])
