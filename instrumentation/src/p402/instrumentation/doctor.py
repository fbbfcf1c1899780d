"""``python -m p402.instrumentation.doctor``: would the calls of a service in this environment be metered?

Looks at what is installed, hooks and unhooks every client, reads the settings, and sends the collector an empty batch.
Exit code 0 when calls would be metered, 1 when something is in the way.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPException
from importlib import metadata
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from opentelemetry.trace import NoOpTracerProvider

from p402.instrumentation.call_spans import CallSpans
from p402.instrumentation.clients import hook_clients, uncovered_sdks
from p402.instrumentation.inspection import Inspector
from p402.instrumentation.outlet import already_sent
from p402.instrumentation.settings import Settings

__all__ = ["Finding", "State", "examine", "main"]

_SDKS = ("openai", "anthropic", "google-genai")
_TIMEOUT = 5.0


class State(StrEnum):
    """How a finding looks; the value is its mark."""

    GOOD = "✓"
    NOTE = "–"
    BAD = "✗"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; a bad one says what to do."""

    state: State
    text: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the findings."""
    parser = argparse.ArgumentParser(prog="python -m p402.instrumentation.doctor", description=__doc__)
    parser.parse_args(arguments)
    findings = list(examine(os.environ))
    for finding in findings:
        print(f"  {finding.state} {finding.text}")  # noqa: T201 - it is a command
    return int(any(finding.state is State.BAD for finding in findings))


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at everything, the clients first and the collector last."""
    settings, complaints = _settings(environment)
    for complaint in complaints:
        yield Finding(State.BAD, complaint)
    if settings.disabled:
        yield Finding(State.BAD, "P402_DISABLED is set: nothing is hooked. Unset it to meter.")
        return
    yield from _clients()
    yield from _others()
    yield _attribution(settings)
    yield _collector(settings, environment)


def _settings(environment: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read the settings, and keep what reading them complains about."""
    complaints: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(record.getMessage())

    logger, keep = logging.getLogger("p402.instrumentation"), Keep()
    logger.addHandler(keep)
    try:
        return Settings.from_environment(environment), complaints
    finally:
        logger.removeHandler(keep)


def _clients() -> Iterator[Finding]:
    hooks = hook_clients(Inspector(CallSpans(NoOpTracerProvider(), lambda _: None), frozenset()))
    try:
        if hooks:
            yield Finding(State.GOOD, f"HTTP clients that can be hooked: {', '.join(hooks)}.")
        else:
            yield Finding(
                State.BAD, "No HTTP client that can be hooked is installed; is this the service's environment?"
            )
        unseen = uncovered_sdks(hooks)
        versions = {sdk: version for sdk in _SDKS if (version := _version(sdk))}
        for sdk, version in versions.items():
            if not any(line.startswith(f"{sdk} ") for line in unseen):
                yield Finding(State.GOOD, f"{sdk} {version}: its calls are seen.")
        for line in unseen:
            yield Finding(State.BAD, f"{line}: its calls are not seen, since that client cannot be hooked.")
        if not versions:
            yield Finding(State.NOTE, "None of the SDKs of OpenAI, Anthropic and Google is installed.")
    finally:
        for hook in hooks.values():
            hook.remove()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _others() -> Iterator[Finding]:
    """Other instrumentations of the same calls; they do no harm, but people ask why there are more spans."""
    points = metadata.entry_points(group="opentelemetry_instrumentor")
    others = sorted({point.dist.name for point in points if point.name in {"openai", "anthropic"} and point.dist})
    if others:
        yield Finding(State.NOTE, f"Also installed: {', '.join(others)}. The collector charges each call once.")


def _attribution(settings: Settings) -> Finding:
    known = ", ".join(f"{level.value} {value}" for level, value in settings.defaults if value)
    return Finding(
        State.NOTE, f"By default calls are attributed to {known or 'nobody'}; code and callers can say more."
    )


def _collector(settings: Settings, environment: Mapping[str, str]) -> Finding:
    """Send an empty batch, as the exporter would send a full one."""
    where = settings.collector_url
    how = "OpenTelemetry's own exporter" if already_sent(settings, environment) else "our exporter"
    headers = {"Content-Type": "application/x-protobuf"}
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key}"
    request = Request(f"{where}/v1/traces", b"", headers, method="POST")  # noqa: S310 - the settings allow http(s) only
    try:
        with urlopen(request, timeout=_TIMEOUT):  # noqa: S310
            return Finding(State.GOOD, f"The collector at {where} takes spans, sent by {how}.")
    except HTTPError as error:
        if error.code in {401, 403}:
            return Finding(State.BAD, f"The collector at {where} refuses us ({error.code}): check P402_API_KEY.")
        return Finding(State.BAD, f"The collector at {where} answered {error.code}: is that P402_COLLECTOR_URL right?")
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        return Finding(State.BAD, f"The collector at {where} cannot be reached ({reason}): set P402_COLLECTOR_URL.")


if __name__ == "__main__":
    sys.exit(main())
