"""A real Jaeger that is overloaded, down for a while and started again loses no span, and no acknowledgement waits for it.

Between the collector and Jaeger stands a gateway that turns requests away as a viewer in need does.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.collector import RunningCollector, eventually, running_collector
from support.gateways import Gateway, grpc_gateway, http_gateway
from support.otlp import ASpan, request_of
from support.viewers import Jaeger, Ports, running_jaeger

pytestmark = pytest.mark.timeout(180)

AT_ONCE = 20


@dataclass
class Service:
    """Sends spans, and notes how long each acknowledgement took."""

    collector: RunningCollector
    sent: set[bytes] = field(default_factory=set)
    waits: dict[str, list[float]] = field(default_factory=dict)

    def send(self, times: int, while_: str) -> None:
        """Send batches, each of a trace of its own."""
        for _ in range(times):
            now = time.time_ns()
            first = ASpan.of(started_ns=now)
            others = [ASpan.of(trace_id=first.trace_id, started_ns=now) for _ in range(AT_ONCE - 1)]
            spans = [first, *others]
            begun = time.perf_counter()
            answer = self.collector.export(request_of(spans, {"service.name": "outages"}))
            self.waits.setdefault(while_, []).append(time.perf_counter() - begun)
            assert answer.status_code == 200
            self.sent |= {span.span_id for span in spans}


def counted(collector: RunningCollector, outcome: str) -> int:
    line = f'p402_forwarded_spans_total{{backend="jaeger",outcome="{outcome}"}} '
    found = [text for text in collector.text("/metrics").splitlines() if text.startswith(line)]
    return int(float(found[0].removeprefix(line))) if found else 0


def over_http(jaeger: Jaeger) -> AbstractContextManager[Gateway]:
    return http_gateway(jaeger.otlp)


def over_grpc(jaeger: Jaeger) -> AbstractContextManager[Gateway]:
    return grpc_gateway(f"127.0.0.1:{jaeger.ports.grpc}")


@pytest.mark.parametrize(("way", "protocol"), [(over_http, "http/protobuf"), (over_grpc, "grpc")], ids=["http", "grpc"])
def test_an_outage_loses_no_span_and_delays_no_acknowledgement(
    tmp_path: Path, way: Callable[[Jaeger], AbstractContextManager[Gateway]], protocol: str
) -> None:
    ports, kept = Ports.free(), tmp_path / "jaeger"
    config = tmp_path / "p402.toml"
    with running_jaeger(kept, ports, on_disk=True) as jaeger, way(jaeger) as gateway:
        config.write_text(f'[[forward]]\nname = "jaeger"\nurl = "{gateway.url}"\nprotocol = "{protocol}"\n')
        settings = {"P402_CONFIG": str(config), "P402_RATE_LIMIT_PER_MINUTE": "0"}
        with running_collector(tmp_path / "collector", settings) as collector:
            service = Service(collector)
            service.send(10, "Jaeger is well")
            eventually(lambda: counted(collector, "sent") == len(service.sent))

            gateway.refusals += [429, 503, 429, 503]
            service.send(10, "Jaeger is overloaded")
            eventually(lambda: counted(collector, "sent") == len(service.sent), 60)
            assert gateway.refused == [429, 503, 429, 503]

            jaeger.process.terminate()
            jaeger.process.wait(30)
            service.send(20, "Jaeger is down")
            eventually(lambda: gateway.away >= 2)
            with running_jaeger(kept, ports, on_disk=True) as jaeger_again:
                service.send(10, "Jaeger starts")
                eventually(lambda: counted(collector, "sent") == len(service.sent), 60)
                stored = [
                    span_id for trace_id in jaeger_again.find("outages") for span_id in jaeger_again.trace(trace_id)
                ]
            print(  # noqa: T201 - shown with -s
                f"\n{protocol}: {len(service.sent)} spans acknowledged, {len(stored)} in Jaeger;"
                f" {len(gateway.refused)} requests turned away, {gateway.away} while it was down,"
                f" {counted(collector, 'retried')} spans tried again, {counted(collector, 'lost')} lost"
            )
            for phase, waits in service.waits.items():
                print(f"  {phase}: acknowledged in {_ms(statistics.median(waits))}, at most {_ms(max(waits))}")  # noqa: T201
            assert sorted(stored) == sorted(service.sent)
            assert counted(collector, "lost") == counted(collector, "refused") == 0
            assert counted(collector, "retried") >= 6 * AT_ONCE
            assert (
                max(wait for waits in service.waits.values() for wait in waits) < 5
            )  # a try at a viewer may take 30 s


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
