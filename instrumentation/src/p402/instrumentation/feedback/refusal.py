"""A refusal as the provider itself would write it: 403, in its own shape, so that its SDK raises its own error (pure).

No SDK tries a 403 again; ``x-should-retry: false`` says so to those that ask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from p402.decisions import Decision

__all__ = ["STATUS", "Refusal", "refusal"]

STATUS = 403


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response that no server has sent."""

    headers: Mapping[str, str]
    body: bytes


def refusal(dialect: str, decision: Decision) -> Refusal:
    """Write a refusal.

    Args:
        dialect: `Dialect.PROVIDER`.
        decision: the one that refuses; nothing of the request is told.
    """
    code = decision.code.value
    message = f"P402 Meter refused this call before it left the process ({code}): {decision.rationale}"
    headers = {
        "content-type": "application/json",
        "x-should-retry": "false",
        "x-p402-code": code,
        **({"x-amzn-errortype": "AccessDeniedException"} if dialect == "aws.bedrock" else {}),
    }
    return Refusal(headers, json.dumps(_document(dialect, code, message)).encode())


def _document(dialect: str, code: str, message: str) -> dict[str, Any]:
    match dialect:
        case "anthropic":
            said = {"type": "permission_error", "message": message, "code": code}
            return {"type": "error", "error": said, "request_id": None}
        case "gcp.gemini":
            detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code.upper(), "domain": "p402"}
            return {"error": {"code": STATUS, "message": message, "status": "PERMISSION_DENIED", "details": [detail]}}
        case "cohere" | "aws.bedrock":
            return {"message": message, "code": code}
        case "ollama":
            return {"error": message, "code": code}
        case _:
            return {"error": {"message": message, "type": "permission_denied", "param": None, "code": code}}
