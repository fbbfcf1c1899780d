"""Where records and keys are kept and for how long, and when a session becomes a receipt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from p402.collector.setting_bounds import TEN_YEARS
from p402.vocabulary import is_valid_id

__all__ = ["RecordSettings"]

_POSTGRESQL = ("postgresql://", "postgres://")
_SEVEN_YEARS = 2557  # in days


def _default_data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "p402"


def _log_name(value: str) -> str:
    if not is_valid_id(value) or "+" in value or any(character.isspace() for character in value):
        raise ValueError("the name of a log is printable and has no spaces and no '+'")
    return value


class RecordSettings(BaseModel):
    """A part of the settings."""

    data_dir: Annotated[Path, Field(description="Folder of the database and of the keys.")] = Field(
        default_factory=_default_data_dir
    )
    database_url: Annotated[
        str | None,
        Field(
            repr=False,  # it may hold a password
            description="`sqlite:///FILE`, or `postgresql://user:password@host/database`, which several collectors can "
            "share. Unset: `p402.sqlite3` in the data folder.",
        ),
    ] = None
    default_organisation: Annotated[
        str, Field(description="Organisation of calls that name none and whose key is bound to none.")
    ] = "default"
    session_idle_seconds: Annotated[
        float, Field(ge=0, le=TEN_YEARS, description="Silence after which a session is over and gets its receipt.")
    ] = 900
    session_close_grace_seconds: Annotated[
        float,
        Field(ge=0, le=TEN_YEARS, description="How long a closed session waits for spans that are still on their way."),
    ] = 10
    session_max_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=TEN_YEARS,
            description="Age at which a session that never falls silent gets a receipt all the same.",
        ),
    ] = 86_400
    receipt_origin: Annotated[
        str,
        AfterValidator(_log_name),
        Field(description="Name of this collector's logs in checkpoints; a domain of yours."),
    ] = "p402.local"
    signing_key_file: Annotated[
        Path | None,
        Field(
            description="Ed25519 key that signs checkpoints; made on first start. Unset: `keys/log.pem` in the data folder."
        ),
    ] = None
    checkpoint_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=TEN_YEARS,
            description="Longest time without a new checkpoint: a log that was idle for so long gets a heartbeat.",
        ),
    ] = 3600
    vault_key_file: Annotated[
        Path | None,
        Field(
            description="Keys that personal data is encrypted with; made on first start. Unset: `keys/vault.key` in the data "
            "folder."
        ),
    ] = None
    retention_disclosures_days: Annotated[
        int | None,
        Field(ge=1, le=36_525, description="Age at which what is personal of receipts is deleted. Unset: never."),
    ] = None
    retention_receipts_days: Annotated[
        int | None,
        Field(
            ge=_SEVEN_YEARS,
            le=36_525,
            description="Age at which bodies of receipts are deleted, at least seven years; their hashes stay. Unset: never.",
        ),
    ] = None
    retention_operations_days: Annotated[
        int,
        Field(ge=1, le=36_525, description="Age at which closed leases, decisions and delivered events are deleted."),
    ] = 90
    access_log_seconds: Annotated[
        float, Field(gt=0, le=86_400, description="Longest time until reads of personal data are hashed into the log.")
    ] = 600

    @model_validator(mode="after")
    def _records_fit_together(self) -> Self:
        if not is_valid_id(self.default_organisation):
            raise ValueError("default_organisation must be 1 to 256 printable characters")
        if self.database_url is not None and not self.database_url.startswith(("sqlite:///", *_POSTGRESQL)):
            raise ValueError("database_url must be sqlite:///FILE or postgresql://user:password@host/database")
        return self

    @property
    def log_key_file(self) -> Path:
        """The file of the key that signs checkpoints."""
        return self.signing_key_file or self.data_dir / "keys" / "log.pem"

    @property
    def vault_file(self) -> Path:
        """The file of the keys that personal data is encrypted with."""
        return self.vault_key_file or self.data_dir / "keys" / "vault.key"

    @property
    def erasures_folder(self) -> Path:
        """The folder of the list of erased names, which is kept beside the database."""
        return self.data_dir / "erasures"

    @property
    def database_file(self) -> Path:
        """The SQLite file, unless there is a `postgresql_url`."""
        if self.database_url is None:
            return self.data_dir / "p402.sqlite3"
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def postgresql_url(self) -> str | None:
        """The address of the PostgreSQL database, if that is what is used."""
        url = self.database_url
        return url if url is not None and url.startswith(_POSTGRESQL) else None
