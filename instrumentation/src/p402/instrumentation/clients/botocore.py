"""Hooks botocore where it sends: `URLLib3Session.send`, once for each attempt.

Amazon's requests are signed over body and headers, so nothing is changed in them but what is not signed. Baggage is not:
botocore leaves it out of its signatures.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from io import BytesIO
from types import ModuleType
from typing import Any

from opentelemetry.instrumentation.utils import unwrap
from urllib3 import HTTPResponse
from wrapt import wrap_function_wrapper

from p402.instrumentation.body import Body
from p402.instrumentation.call import Call, StreamEnd
from p402.instrumentation.clients.raw import decided, read_in_passing, send_inspected
from p402.instrumentation.clients.requests import outgoing
from p402.instrumentation.feedback.refusal import STATUS, Refusal
from p402.instrumentation.guard import guard
from p402.instrumentation.inspection import Inspected, Inspector
from p402.instrumentation.providers.bedrock import metrics_of

__all__ = ["BotocoreHook"]

_FIRST_ERROR = 400


class BotocoreHook:
    """The hook in botocore, of all whose services only Bedrock's runtime is looked at."""

    def __init__(self, module: ModuleType, inspector: Inspector) -> None:
        self._inspector = inspector
        self._session = importlib.import_module(f"{module.__name__}.httpsession").URLLib3Session
        self._response: Any = importlib.import_module(f"{module.__name__}.awsrequest").AWSResponse
        wrap_function_wrapper(self._session, "send", self._send)

    def remove(self) -> None:
        """Undo it."""
        unwrap(self._session, "send")

    def _send(self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = args[0] if args else kwargs["request"]
        inspected = None
        with guard("looking at a request of botocore"):
            inspected = self._inspect(request)
        if inspected is None:
            return wrapped(*args, **kwargs)
        if inspected.refusal is not None:
            return self._refusal(request, inspected.refusal)
        for name in inspected.dropped_headers:
            request.headers.pop(name, None)
        response = send_inspected(inspected, lambda: wrapped(*args, **kwargs))
        if inspected.call is not None:
            _answered(inspected.call, response, streamed=request.stream_output)
        return response

    def _inspect(self, request: Any) -> Inspected | None:
        if "bedrock" not in request.url and "/model/" not in request.url:  # most of what a service sends to Amazon
            return None
        return decided(self._inspector.inspect(outgoing(request)))

    def _refusal(self, request: Any, refusal: Refusal) -> Any:
        """Answer in Amazon's stead, as urllib3 would bring it."""
        headers = dict(refusal.headers)
        raw = HTTPResponse(BytesIO(refusal.body), headers=headers, status=STATUS, preload_content=False)
        return self._response(request.url, STATUS, headers, raw)


def _answered(call: Call, response: Any, *, streamed: bool) -> None:
    with guard("looking at a response of botocore"):
        headers = {name.lower(): value for name, value in response.headers.items()}
        content = headers.get("content-type", ""), headers.get("content-encoding", "")
        call.answered(response.status_code, content[0])
        if response.status_code >= _FIRST_ERROR:
            call.finish(StreamEnd.READ)
            return
        if metrics := metrics_of(headers):
            call.event(metrics)
        if streamed:
            response.raw = read_in_passing(response.raw, call, *content)
        else:
            body = Body(call, *content)
            body.feed(response.content)
            body.finish(StreamEnd.READ)
        return
    call.finish(StreamEnd.FAILED)
