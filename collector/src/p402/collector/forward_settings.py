"""Where priced spans go: the tables ``[[forward]]`` of the configuration file, or one address in the environment."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

__all__ = ["PERSONAL", "BackendUrl", "ForwardSettings", "traces_endpoint"]

PERSONAL = ("p402.employee", "enduser.*", "user.*", "client.address", "net.peer.ip", "http.client_ip")
"""Attributes that tell who a person is; `ForwardSettings.personal` lets them leave."""


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a backend's address looks like http://jaeger:4318/v1/traces")
    if parts.username is not None:
        raise ValueError("a backend's address has no user or password; send them as a header")
    return url


BackendUrl = Annotated[str, AfterValidator(_address)]


def traces_endpoint(url: str) -> str:
    """Add ``/v1/traces`` to an address of OTLP/HTTP that has no path."""
    return url if urlsplit(url).path not in ("", "/") else f"{url.rstrip('/')}/v1/traces"


class ForwardSettings(BaseModel):
    """One OTLP backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = "default"
    url: BackendUrl
    """Over HTTP the traces endpoint; ``/v1/traces`` is added to an address without a path. Over gRPC host and port."""
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    headers: dict[str, SecretStr] = {}
    compress: bool = True
    personal: bool = False
    """Whether names of people may leave."""
    drop: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = ()
    """More attributes that may not leave, by name; ``*`` stands for anything."""

    @model_validator(mode="after")
    def _is_an_endpoint(self) -> Self:
        if self.protocol == "grpc" and urlsplit(self.url).path not in ("", "/"):
            raise ValueError("over grpc the address has no path: http://jaeger:4317")
        return self

    @property
    def endpoint(self) -> str:
        """The address to send to."""
        return self.url if self.protocol == "grpc" else traces_endpoint(self.url)
