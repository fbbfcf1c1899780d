"""Where events go: the tables ``[[webhooks]]`` and ``[[channels]]`` of the configuration file.

They come from the file alone, never from the environment or the API: whoever can name an address makes the collector
call it.
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from p402.collector.outbound import callable_url

__all__ = ["ChannelSettings", "EventType", "WebhookSettings"]

_SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
_SECRET_BYTES = range(24, 65)


class EventType(StrEnum):
    """What can happen that somebody may want to be told."""

    ANOMALY_DETECTED = "anomaly.detected"
    BUDGET_THRESHOLD = "budget.threshold"
    BUDGET_PROJECTED = "budget.projected"
    RECEIPT_ISSUED = "receipt.issued"
    CHECKPOINT_PUBLISHED = "checkpoint.published"
    SETTLEMENT_FINAL = "settlement.final"
    SETTLEMENT_FAILED = "settlement.failed"
    HOLD_CREATED = "hold.created"


def _address(url: str) -> str:
    return callable_url(url, "a webhook")


def _secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_SECRET_PREFIX) or len(key) not in _SECRET_BYTES:
        raise ValueError("a webhook's secret is whsec_ followed by 24 to 64 bytes in base64")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_secret)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class _Subscriber(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Name
    events: Annotated[tuple[EventType | Literal["*"], ...], Field(min_length=1)] = ("*",)

    @property
    def subscribed(self) -> frozenset[EventType]:
        """The types of event that are sent there."""
        return frozenset(EventType) if "*" in self.events else frozenset(map(EventType, self.events))


class WebhookSettings(_Subscriber):
    """One receiver of Standard Webhooks."""

    url: Annotated[str, Field(repr=False), AfterValidator(_address)]
    secrets: Annotated[tuple[Secret, ...], Field(max_length=2)] = ()
    secret_file: Path | None = None
    allow_private: bool = False

    @model_validator(mode="after")
    def _has_secrets(self) -> Self:
        if bool(self.secrets) == (self.secret_file is not None):
            raise ValueError("a webhook has either secrets (one, or two while one replaces the other) or secret_file")
        return self

    def read_secrets(self) -> tuple[bytes, ...]:
        """Give the keys to sign with; a secret file has one secret a line.

        Raises:
            ValueError: saying what a secret looks like.
            OSError: if the file cannot be read.
        """
        secrets = self.secrets
        if self.secret_file is not None:
            secrets = tuple(_secret(SecretStr(line)) for line in self.secret_file.read_text().split())
            if len(secrets) not in (1, 2):
                raise ValueError("a secret file has one secret, or two while one replaces the other")
        return tuple(base64.b64decode(secret.get_secret_value().removeprefix(_SECRET_PREFIX)) for secret in secrets)


class ChannelSettings(_Subscriber):
    """One channel of people, in the words of apprise: a chat, a mailbox."""

    apprise_url: SecretStr | None = None
    apprise_url_file: Path | None = None

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if (self.apprise_url is None) == (self.apprise_url_file is None):
            raise ValueError("a channel has either apprise_url or apprise_url_file")
        return self

    def read_url(self) -> str:
        """Give the address, which holds passwords.

        Raises:
            OSError: if the file cannot be read.
        """
        if self.apprise_url_file is not None:
            return self.apprise_url_file.read_text().strip()
        assert self.apprise_url is not None, "a channel has one of the two"
        return self.apprise_url.get_secret_value()
