"""Warns by name, once for each, about APIs whose calls cannot be metered where they are made."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from p402.instrumentation.providers import is_provider

__all__ = ["warn_of_request", "warn_of_untold", "warn_of_websocket"]

_logger = logging.getLogger("p402.instrumentation")
_warned: set[str] = set()

_REPORT = (
    "Report their usage with a span of your own that has OpenTelemetry's GenAI attributes (its README says which), or "
    "make the calls over HTTP."
)
_LATER = (
    "They are metered when their results are downloaded by a process with this instrumentation, through an SDK or any "
    "HTTP client that is hooked."
)
_UNTOLD = (
    "Their answers tell no tokens. Report what they used with a span of your own that has OpenTelemetry's GenAI attributes "
    "(its README says which)."
)
_ELSEWHERE = "Their results are stored where only the provider's own billing sees them: compare with its invoice."

_WEBSOCKETS = (
    (re.compile(r"/realtime\b"), "OpenAI's Realtime API"),
    (re.compile(r"/responses/?$"), "OpenAI's Responses API over WebSocket"),
    (re.compile(r"BidiGenerateContent|/live\b"), "Gemini's Live API"),
)
_AT_ANY_HOST = (
    (re.compile(r"/v1/messages/batches/?$"), "Anthropic's batch API", _LATER),
    (re.compile(r":(?:asyncB|b)atchGenerateContent$"), "Gemini's batch API", _LATER),
    (re.compile(r"/batchPredictionJobs/?$"), "Vertex AI's batch prediction", _ELSEWHERE),
    (re.compile(r"/model-invocation-job$"), "Bedrock's batch inference", _ELSEWHERE),
    (
        re.compile(r"/v1/realtime/(?:calls|client_secrets|sessions|transcription_sessions)/?$"),
        "OpenAI's Realtime API",
        _REPORT,
    ),
    (re.compile(r"/publishers/[^/]+/models/[^/:]+:predict(?:LongRunning)?$"), "Vertex AI's predictions", _UNTOLD),
)
_AT_PROVIDERS = (
    (re.compile(r"/models/[^/:]+:predict(?:LongRunning)?$"), "Gemini's predictions (Imagen, Veo)", _UNTOLD),
    (re.compile(r"/batch(?:es|/jobs)/?$"), "the batch API", _LATER),
    (re.compile(r"/threads/(?:[^/]+/)?runs/?$"), "OpenAI's Assistants API", _REPORT),
)
_MAY_BE = re.compile(r"batch|/realtime/|/runs/?$|/model-invocation-job$|:predict", re.IGNORECASE)


def warn_of_request(host: str, path: str, port: int | None, own_hosts: Mapping[str, str]) -> None:
    """Warn of a POST that is no call of a model, if it makes calls that are not seen here."""
    if not _MAY_BE.search(path):
        return
    for known, api, advice in _AT_ANY_HOST:
        if known.search(path):
            _warn(api, advice)
            return
    if is_provider(host, port, own_hosts):
        for known, api, advice in _AT_PROVIDERS:
            if known.search(path):
                _warn(api if api[0].isupper() else f"{api} of {host}", advice)
                return


def warn_of_untold(api: str) -> None:
    """Warn of calls that are seen, but not what they used."""
    _warn(api, _UNTOLD, "what calls made through {} used")


def warn_of_websocket(host: str, path: str, port: int | None, own_hosts: Mapping[str, str]) -> None:
    """Warn of a WebSocket to a provider, or to whoever speaks its protocol."""
    for known, api in _WEBSOCKETS:
        if known.search(path) and (is_provider(host, port, own_hosts) or "/v1/" in path or "BidiGenerate" in path):
            _warn(api, _REPORT)
            return
    if is_provider(host, port, own_hosts):
        _warn(f"the WebSocket API of {host}", _REPORT)


def _warn(api: str, advice: str, unseen: str = "calls made through {} as they are made") -> None:
    if api not in _warned:
        _warned.add(api)
        _logger.warning("P402 Meter does not see %s. %s", unseen.format(api), advice)
