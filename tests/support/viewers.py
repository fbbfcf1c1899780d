"""Real viewers of traces, which we did not write: Jaeger 2, built by ``.ci/viewers``, and Arize Phoenix."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p402.collector.receiver.message_of_json import message_of_json
from support.collector import eventually
from support.environments import MADE, environment
from support.ports import steady_port
from support.wiretap import attributes

_CLIENT = httpx.Client(timeout=30)
_JAEGER = MADE / "viewers" / "jaeger"
_QUIET = {"OTEL_TRACES_SAMPLER": "always_off"}  # else Jaeger has traces of itself to send, and takes 10 seconds to end


def jaeger_program() -> str:
    """Where Jaeger is; fails if it was not built."""
    assert _JAEGER.exists(), "Jaeger is missing: .ci/viewers builds it (make test does that first)"
    return str(_JAEGER)


@dataclass(frozen=True)
class Ports:
    """Where Jaeger listens; the same after a restart."""

    query: int
    http: int
    grpc: int

    @classmethod
    def free(cls) -> Ports:
        return cls(steady_port(), steady_port(), steady_port())


@dataclass(frozen=True)
class Jaeger:
    """A running Jaeger."""

    ports: Ports
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.query}"

    @property
    def otlp(self) -> str:
        """Where it takes OTLP over HTTP."""
        return f"http://127.0.0.1:{self.ports.http}"

    def find(self, service: str, tags: Mapping[str, str] | None = None, limit: int = 1000) -> set[str]:
        """The ids of traces that have a span of a service with these tags, as its search finds them."""
        query = {"service": service, "limit": str(limit), "lookback": "1h"}
        answer = _CLIENT.get(f"{self.url}/api/traces", params={**query, "tags": json.dumps(dict(tags or {}))})
        answer.raise_for_status()
        return {trace["traceID"] for trace in answer.json()["data"] or ()}

    def trace(self, trace_id: str) -> dict[bytes, Span]:
        """The spans of a trace by their ids."""
        answer = _CLIENT.get(f"{self.url}/api/v3/traces/{trace_id}")
        answer.raise_for_status()
        found = message_of_json(answer.json()["result"])
        scopes = (scope for resource in found.resource_spans for scope in resource.scope_spans)
        return {span.span_id: span for scope in scopes for span in scope.spans}

    def spans(self, service: str, tags: Mapping[str, str] | None = None) -> list[Span]:
        """The spans that have these tags, in the traces that its search finds."""
        wanted = dict(tags or {})
        traces = [self.trace(trace_id) for trace_id in sorted(self.find(service, tags))]
        every = [span for trace in traces for span in trace.values()]
        return [span for span in every if wanted.items() <= attributes(span).items()]


@contextmanager
def running_jaeger(
    folder: Path, ports: Ports | None = None, *, on_disk: bool = False, ui: Path | None = None
) -> Iterator[Jaeger]:
    """A Jaeger that acknowledges spans when they are stored; until the block ends.

    Args:
        folder: for its files.
        ports: where to listen.
        on_disk: whether traces outlive it, in the folder; there a link loses its attributes.
        ui: a file with the configuration of its page.
    """
    ports = ports or Ports.free()
    folder.mkdir(parents=True, exist_ok=True)
    places = {"keys": str(folder / "keys"), "values": str(folder / "values")}
    badger = {"badger": {"directories": places, "ephemeral": False}}
    page = {} if ui is None else {"ui": {"config_file": str(ui), "assets_path": str(_page(folder))}}
    config = {
        "extensions": {
            "jaeger_storage": {"backends": {"here": badger if on_disk else {"memory": {"max_traces": 10_000}}}},
            "jaeger_query": {
                "storage": {"traces": "here"},
                "http": {"endpoint": f"127.0.0.1:{ports.query}"},
                "grpc": {"endpoint": "127.0.0.1:0"},
                **page,
            },
        },
        "receivers": receivers(ports),
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "here"}},
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
        },
    }
    (folder / "jaeger.yaml").write_text(yaml.safe_dump(config))
    with _running(
        [jaeger_program(), f"--config={folder / 'jaeger.yaml'}"], folder, [ports.query, ports.http]
    ) as process:
        yield Jaeger(ports, process)


def receivers(ports: Ports) -> dict[str, Any]:
    """OTLP over both protocols."""
    where = {"http": {"endpoint": f"127.0.0.1:{ports.http}"}, "grpc": {"endpoint": f"127.0.0.1:{ports.grpc}"}}
    return {"otlp": {"protocols": where}}


@contextmanager
def running_opentelemetry_collector(
    folder: Path, config: Path, ports: Ports, given: Mapping[str, str]
) -> Iterator[None]:
    """An OpenTelemetry Collector with a configuration, but for its ports. Jaeger is one, with more in it."""
    folder.mkdir()
    changes = {"receivers": receivers(ports), "service": {"telemetry": {"metrics": {"level": "none"}}}}
    command = [jaeger_program(), f"--config={config}", f"--config=yaml:{json.dumps(changes)}"]
    with _running(command, folder, [ports.http], given):
        yield


@dataclass(frozen=True)
class Phoenix:
    """A running Phoenix."""

    url: str

    def spans(self, tags: Mapping[str, str | int] | None = None) -> list[dict[str, Any]]:
        """The spans that have these attributes, as its API finds them."""
        wanted = [f"{key}:{value}" for key, value in (tags or {}).items()]
        answer = _CLIENT.get(f"{self.url}/v1/projects/default/spans", params={"attribute": wanted, "limit": 1000})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def count(self, condition: str) -> int:
        """How many spans its page would list for a filter."""
        query = (
            "query ($id: ID!, $by: String!) { node(id: $id) { ... on Project { recordCount(filterCondition: $by) } } }"
        )
        asked = {"query": query, "variables": {"id": self.project(), "by": condition}}
        answer = _CLIENT.post(f"{self.url}/graphql", json=asked).json()
        return int(answer["data"]["node"]["recordCount"])

    def project(self) -> str:
        """The id of the project in which traces are that name none."""
        answer = _CLIENT.get(f"{self.url}/v1/projects")
        [found] = [project["id"] for project in answer.json()["data"] if project["name"] == "default"]
        return str(found)


@contextmanager
def running_phoenix(folder: Path) -> Iterator[Phoenix]:
    """A Phoenix that asks nobody for anything; until the block ends."""
    folder.mkdir()
    port = steady_port()
    settings = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(steady_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
    }
    with _running([str(environment("phoenix") / "phoenix"), "serve"], folder, [port], settings):
        yield Phoenix(f"http://127.0.0.1:{port}")


def _page(folder: Path) -> Path:
    """A page in which Jaeger puts the configuration of its own: a Jaeger built from the module alone has no page."""
    page = folder / "page"
    (page / "static").mkdir(parents=True, exist_ok=True)
    (page / "index.html").write_text("<script>JAEGER_CONFIG = DEFAULT_CONFIG;</script>\n")
    return page


@contextmanager
def _running(
    command: Sequence[str], folder: Path, ports: Sequence[int], settings: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program from when it listens until the block ends, or the program is ended in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "P402_", "PYTHON"))}
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            command, env={**kept, **_QUIET, **(settings or {})}, cwd=folder, stdout=log, stderr=log
        )
        try:
            eventually(lambda: process.poll() is not None or all(_answers(port) for port in ports), 120)
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answers(port: int) -> bool:
    try:
        _CLIENT.get(f"http://127.0.0.1:{port}/")
    except httpx.TransportError:
        return False
    return True
