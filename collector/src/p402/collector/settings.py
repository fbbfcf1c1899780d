"""Settings: one tree, read from a TOML file and from the environment.

The file is named by ``P402_CONFIG``; every key can be overridden by ``P402_`` and its name in capitals. A setting is
documented by its description in the part that it belongs to; the README's table is checked against it.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from p402.collector.address import Address
from p402.collector.door_settings import DoorSettings
from p402.collector.leaving_settings import LeavingSettings
from p402.collector.record_settings import RecordSettings
from p402.collector.settlement_settings import SettlementDefaults
from p402.collector.spending_settings import SpendingSettings
from p402.vocabulary import Permanent

__all__ = ["FILE_ONLY", "ONE_TABLE", "Settings", "SettingsInvalid", "load_settings"]


FILE_ONLY = frozenset({"webhooks", "channels", "prices", "settlement", "markup", "forward", "oidc"})
"""Tables, which only the file can hold; so do addresses that the collector calls by itself."""
ONE_TABLE = frozenset({"oidc"})
"""Those of which there is one."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class SettingsInvalid(Permanent):
    """The configuration cannot be used; the message names each wrong setting and what it should be."""


class Settings(LeavingSettings, SettlementDefaults, SpendingSettings, RecordSettings, DoorSettings, BaseSettings):
    """Everything the collector can be told. Each field is a key of the TOML file and a ``P402_*`` variable."""

    model_config = SettingsConfigDict(env_prefix="P402_", extra="ignore", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="after")
    def _own_traces_lead_elsewhere(self) -> Self:
        if self.own_traces_otlp_url is None:
            return self
        parts = urlsplit(self.own_traces_otlp_url)
        at = Address(parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme])
        public = None if self.public_url is None else urlsplit(self.public_url)
        if at.reaches(self.listen) or (
            public is not None and (parts.scheme, parts.netloc) == (public.scheme, public.netloc)
        ):
            raise ValueError(
                f"own_traces_otlp_url leads to this collector itself ({at}): it would trace the receiving of its traces, and "
                "never come to an end. Name another backend, such as a Jaeger on another port"
            )
        return self

    @property
    def exports_folder(self) -> Path:
        """The folder of exports."""
        return self.export_dir or self.data_dir / "exports"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: what a caller passes, then the environment, then the file."""
        file = TomlConfigSettingsSource(settings_cls, os.environ.get("P402_CONFIG"))
        return (init_settings, env_settings, file)


def load_settings(**overrides: object) -> Settings:
    """Read the settings.

    Raises:
        SettingsInvalid: naming each setting that is wrong, where it can be set, and why it is refused.
    """
    config = os.environ.get("P402_CONFIG")
    if config is not None:
        _check_file(Path(config))
    for variable in os.environ:
        if variable.upper().removeprefix("P402_").lower() in FILE_ONLY and variable.upper().startswith("P402_"):
            raise SettingsInvalid(f"{variable} cannot be set: such tables come from the file of P402_CONFIG.")
    try:
        return Settings(**overrides)  # type: ignore[arg-type] # overrides are validated by pydantic, as the file is
    except ValidationError as error:
        lines = [
            "  " + _place(problem["loc"]) + problem["msg"].removeprefix("Value error, ")
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise SettingsInvalid("The configuration cannot be used:\n" + "\n".join(lines)) from error


def _place(where: tuple[int | str, ...]) -> str:
    """Name the setting that a problem is about; in a table of the file, with its place there."""
    match where:
        case ():
            return ""
        case (str(table), int(number), *keys) if table in FILE_ONLY:
            return ", ".join([f"[[{table}]] number {number + 1}", *(str(key) for key in keys)]) + ": "
        case (str(table), *keys) if table in ONE_TABLE:
            return ", ".join([f"[{table}]", *(str(key) for key in keys)]) + ": "
        case _:
            return f"P402_{str(where[0]).upper()}: "


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise SettingsInvalid(f"P402_CONFIG names {file}, which is not a file.")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"{file} cannot be read: {error}.") from error
    if unknown := sorted(set(content) - set(Settings.model_fields)):
        raise SettingsInvalid(f"{file} sets what does not exist: {', '.join(unknown)}. The README lists the settings.")
