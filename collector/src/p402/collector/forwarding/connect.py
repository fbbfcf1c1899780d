"""The backends of the configuration, and the ways to them."""

from __future__ import annotations

from collections.abc import Iterable

from p402.collector.forward_settings import PERSONAL, ForwardSettings
from p402.exporters.otlp import AttributePolicy, Backend, GrpcSender, HttpSender, Sender

__all__ = ["connect_backends"]


def connect_backends(settings: Iterable[ForwardSettings]) -> list[tuple[Backend, Sender]]:
    """Make each backend with its sender; nothing is asked of the network yet."""
    return [(backend := _backend(one), _sender(one, backend)) for one in settings]


def _backend(one: ForwardSettings) -> Backend:
    return Backend(
        name=one.name,
        url=one.endpoint,
        headers={name: value.get_secret_value() for name, value in one.headers.items()},
        policy=AttributePolicy((*(() if one.personal else PERSONAL), *one.drop)),
        compress=one.compress,
    )


def _sender(one: ForwardSettings, backend: Backend) -> Sender:
    return GrpcSender(backend) if one.protocol == "grpc" else HttpSender(backend)
