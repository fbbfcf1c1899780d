"""Who can connect to the collector where, and who they must be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from p402.collector.address import Address
from p402.collector.oidc_settings import OidcSettings

__all__ = ["DoorSettings"]

_THIRTY_DAYS = 2_592_000  # in seconds


def _public_url(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("the public address looks like https://p402.example.com, without a path")
    return f"{parts.scheme}://{parts.netloc}"


class DoorSettings(BaseModel):
    """A part of the settings."""

    listen: Annotated[
        Address,
        NoDecode,
        BeforeValidator(Address.parse),
        Field(description="Address of OTLP/HTTP, the API and the page."),
    ] = Address("127.0.0.1", 4318)
    grpc_listen: Annotated[
        Address | None,
        NoDecode,
        BeforeValidator(lambda value: Address.parse(value) if value else None),
        Field(description="Address of OTLP/gRPC; empty: off. If unset and the port is taken, gRPC is left out."),
    ] = Address("127.0.0.1", 4317)
    tls_cert_file: Annotated[
        Path | None,
        Field(
            description="Certificate with its chain, in PEM: both addresses then speak TLS. Renewed files are taken up."
        ),
    ] = None
    tls_key_file: Annotated[Path | None, Field(description="Its key, in PEM, without a password.")] = None
    require_key: Annotated[
        bool | None,
        Field(description="Whether every request needs an API key. Unset: yes, unless only this machine can connect."),
    ] = None
    demo: Annotated[
        bool,
        Field(description="Whether everybody on this machine is an administrator; refused where others can connect."),
    ] = False
    public_url: Annotated[
        str | None,
        AfterValidator(_public_url),
        Field(description="Address at which people open the page, if a proxy stands before the collector."),
    ] = None
    sign_in_idle_seconds: Annotated[
        float, Field(ge=60, le=_THIRTY_DAYS, description="Time without use after which somebody must sign in again.")
    ] = 28_800
    sign_in_max_seconds: Annotated[
        float, Field(ge=60, le=_THIRTY_DAYS, description="Time after which somebody must sign in again in any case.")
    ] = 86_400
    sign_in_attempts_per_minute: Annotated[
        int, Field(ge=0, le=1_000_000, description="Attempts a minute to sign in from one address; 0: any number.")
    ] = 30
    oidc: Annotated[
        OidcSettings | None, Field(description="Identity provider that people sign in at; only in the file.")
    ] = None
    rate_limit_per_minute: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000,
            description="Requests a minute of one API key, spans and decisions apart; 0: as many as it likes.",
        ),
    ] = 1_200
    max_request_bytes: Annotated[
        int, Field(gt=0, description="Largest request body, before and after it is decompressed.")
    ] = 64 * 1024 * 1024

    @model_validator(mode="after")
    def _doors_fit_together(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together: TLS needs both")
        if self.demo and (self.require_key or not self._only_this_machine):
            raise ValueError("demo makes everybody an administrator, so listen and grpc_listen must be loopback")
        return self

    @property
    def key_required(self) -> bool:
        """Whether a request without an API key is refused."""
        if self.require_key is not None:
            return self.require_key
        return not self._only_this_machine

    @property
    def _only_this_machine(self) -> bool:
        return self.listen.is_loopback and (self.grpc_listen is None or self.grpc_listen.is_loopback)
