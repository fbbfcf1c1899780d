"""Settings: one tree, read from a TOML file and from the environment.

The file is named by ``P402_CONFIG``; every key can be overridden by ``P402_`` and its name in capitals. A setting is
documented by its description here; the README's table is checked against it.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from p402.collector.channel_settings import ChannelSettings, WebhookSettings
from p402.collector.forward_settings import BackendUrl, ForwardSettings, traces_endpoint
from p402.collector.markup_settings import MarkupSettings
from p402.collector.oidc_settings import OidcSettings
from p402.collector.price_settings import NegotiatedPriceSettings
from p402.collector.settlement_settings import LEAST_PAYOUT, AnAddress, MinimumPayout, ModeName, SettlementSettings
from p402.vocabulary import Permanent, is_valid_id

__all__ = ["FILE_ONLY", "ONE_TABLE", "Address", "Settings", "SettingsInvalid", "load_settings"]


FILE_ONLY = frozenset({"webhooks", "channels", "prices", "settlement", "markup", "forward", "oidc"})
"""Tables, which only the file can hold; so do addresses that the collector calls by itself."""
ONE_TABLE = frozenset({"oidc"})
"""Those of which there is one."""

_ANY_HOST = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_USD = 9_000_000_000  # amounts of nano-USD have 64 bits
_POSTGRESQL = ("postgresql://", "postgres://")
_SEVEN_YEARS = 2557  # in days
_THIRTY_DAYS = 2_592_000  # in seconds
_TEN_YEARS = 315_576_000  # in seconds; dates stay within what a calendar holds


class SettingsInvalid(Permanent):
    """The configuration cannot be used; the message names each wrong setting and what it should be."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on, written ``127.0.0.1:4318`` or ``[::1]:4318``; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, value: object) -> Address:
        """Read an address; raises ValueError that says how one looks."""
        if isinstance(value, Address):
            return value
        host, separator, port = str(value).rpartition(":")
        if not (separator and host and port.isdigit() and int(port) < 65536):  # noqa: PLR2004 - ports have 16 bits
            raise ValueError(f"an address looks like 127.0.0.1:4318; got {value!r}")
        return cls(host.strip("[]"), int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def reaches(self, listen: Address) -> bool:
        """Tell whether who connects to this address reaches who listens on that one, as far as the addresses say."""
        if self.port != listen.port:
            return False
        here = listen.is_loopback or listen.host in _ANY_HOST
        return self.host == listen.host.lower() or (here and (self.is_loopback or self.host in _ANY_HOST))


def _default_data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "p402"


def _public_url(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("the public address looks like https://p402.example.com, without a path")
    return f"{parts.scheme}://{parts.netloc}"


def _log_name(value: str) -> str:
    if not is_valid_id(value) or "+" in value or any(character.isspace() for character in value):
        raise ValueError("the name of a log is printable and has no spaces and no '+'")
    return value


class Settings(BaseSettings):
    """Everything the collector can be told. Each field is a key of the TOML file and a ``P402_*`` variable."""

    model_config = SettingsConfigDict(env_prefix="P402_", extra="ignore", frozen=True, arbitrary_types_allowed=True)

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
    default_organisation: Annotated[
        str, Field(description="Organisation of calls that name none and whose key is bound to none.")
    ] = "default"
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
    session_idle_seconds: Annotated[
        float, Field(ge=0, le=_TEN_YEARS, description="Silence after which a session is over and gets its receipt.")
    ] = 900
    session_close_grace_seconds: Annotated[
        float,
        Field(
            ge=0, le=_TEN_YEARS, description="How long a closed session waits for spans that are still on their way."
        ),
    ] = 10
    session_max_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=_TEN_YEARS,
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
            le=_TEN_YEARS,
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
    settlement_mode: Annotated[
        ModeName,
        Field(
            description="`anchor`: checkpoints are anchored on Tempo. `pay`: and what was metered is paid. `reference`: and the "
            "statement says where it was paid. `off`: nothing."
        ),
    ] = "off"
    settlement_payee: Annotated[AnAddress | None, Field(description="Who is paid in mode `pay`.")] = None
    settlement_minimum_payout_usd: Annotated[
        MinimumPayout, Field(description="What is less than this is carried into the next settlement.")
    ] = LEAST_PAYOUT
    settlement_network: Annotated[
        Literal["mainnet", "moderato", "local"], Field(description="Chain to settle on; gives chain id and defaults.")
    ] = "moderato"
    settlement_rpc_url: Annotated[str | None, Field(description="JSON-RPC address; unset: the network's.")] = None
    settlement_token: Annotated[str | None, Field(description="TIP-20 token of settlements; unset: the network's.")] = (
        None
    )
    settlement_fee_token: Annotated[
        AnAddress | None, Field(description="TIP-20 token that fees are paid in; unset: the token of settlements.")
    ] = None
    settlement_max_fee_per_gas: Annotated[
        int | None,
        Field(
            gt=0, le=10**18, description="Most that a unit of gas may cost, in 10⁻¹⁸ USD; unset: four times the usual."
        ),
    ] = None
    settlement_explorer_url: Annotated[
        str | None, Field(description="Block explorer that receipts link to; unset: the network's.")
    ] = None
    settlement_key_file: Annotated[
        Path | None, Field(description="File with the hex private key that signs settlements.")
    ] = None
    settlement_payer: Annotated[
        AnAddress | None, Field(description="Account that authorised the key, if that is an access key.")
    ] = None
    settlement_interval_seconds: Annotated[
        float, Field(ge=0, le=_TEN_YEARS, description="Receipts of one organisation are settled this often.")
    ] = 600
    settlement_receipts: Annotated[
        int, Field(ge=1, le=1_000_000, description="So many receipts are settled at once, before the interval is over.")
    ] = 1000
    settlement_accrued_usd: Annotated[
        Decimal,
        Field(gt=0, le=_MOST_USD, decimal_places=9, description="And so is so much money that they came to."),
    ] = Decimal(100)
    settlement: Annotated[
        tuple[SettlementSettings, ...],
        Field(description="Organisations that are settled in another mode or to another payee; only in the file."),
    ] = ()
    anomaly_factor: Annotated[
        Decimal,
        Field(
            ge=1,
            le=1000,
            decimal_places=3,
            description="How many times the employee's mean a session may cost unflagged.",
        ),
    ] = Decimal(3)
    anomaly_min_sessions: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="How many other sessions of the employee a mean needs to say anything."),
    ] = 5
    anomaly_min_usd: Annotated[
        Decimal,
        Field(
            ge=0, le=_MOST_USD, decimal_places=9, description="A session of at most this is not compared with the mean."
        ),
    ] = Decimal("0.50")
    anomaly_session_usd: Annotated[
        Decimal,
        Field(gt=0, le=_MOST_USD, decimal_places=9, description="A session above this is flagged, whoever's it is."),
    ] = Decimal(10)
    lease_seconds: Annotated[
        float, Field(ge=1, le=3600, description="How long a lease is good for new calls, unless its holder says less.")
    ] = 30
    decision_hold_seconds: Annotated[
        float,
        Field(ge=1, le=3600, description="How long a single decision holds money, unless its asker says otherwise."),
    ] = 600
    lease_settle_seconds: Annotated[
        float,
        Field(ge=0, le=86_400, description="How long after its end a lease waits for spans before it is unreconciled."),
    ] = 30
    unreconciled_grace_seconds: Annotated[
        float, Field(ge=0, le=_TEN_YEARS, description="How long what is unreconciled counts against the caps.")
    ] = 86_400
    authorize_hold_usd: Annotated[
        Decimal,
        Field(
            gt=0,
            le=_MOST_USD,
            decimal_places=9,
            description="What `/v1/authorize` holds for a call that it cannot see.",
        ),
    ] = Decimal("0.05")
    authorize_hold_seconds: Annotated[float, Field(ge=1, le=3600, description="How long it holds that.")] = 60
    model_catalogue_file: Annotated[
        Path | None,
        Field(description="TOML file of models that are added to the catalogue, or that it says otherwise of."),
    ] = None
    export_dir: Annotated[
        Path | None,
        Field(
            description="Folder of exports; collectors of one database share it. Unset: `exports` in the data folder."
        ),
    ] = None
    export_keep_seconds: Annotated[
        float, Field(ge=60, le=_TEN_YEARS, description="How long the files of an export can be downloaded.")
    ] = 604_800
    export_max_bytes: Annotated[
        int, Field(ge=1024 * 1024, description="Room for all exports; the oldest make room for new ones.")
    ] = 10 * 1024**3
    markup: Annotated[
        tuple[MarkupSettings, ...],
        Field(
            description="What is added to the cost in statements and FOCUS exports; the first that fits. Only in the file."
        ),
    ] = ()
    dashboard_trace_url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://[!-~]*\{trace_id\}[!-~]*$",
            description="Where traces are looked at: pages link calls to it, such as `https://jaeger.example/trace/{trace_id}`. "
            "Unset: the trace id is shown.",
        ),
    ] = None
    metrics_nodes: Annotated[
        int,
        Field(
            ge=0,
            le=10_000,
            description="How many departments, projects and clients each have series of their own at `/metrics`, which "
            "needs no key; 0: none.",
        ),
    ] = 200
    forward_otlp_url: Annotated[
        str | None,
        Field(
            description="Traces endpoint of a backend that priced spans are sent on to; more of them: `[[forward]]`."
        ),
    ] = None
    own_traces_otlp_url: Annotated[
        BackendUrl | None,
        Field(
            description="Traces endpoint, over HTTP, of a backend that is sent how long the collector's own requests, commits and "
            "background work take. Unset: it makes no traces."
        ),
    ] = None
    forward_content: Annotated[
        bool, Field(description="Send prompts, answers and texts of exceptions on too, where spans have them.")
    ] = False
    forward_max_bytes: Annotated[
        int,
        Field(ge=1 << 20, description="How much may wait for backends that are away; the oldest is given up first."),
    ] = 1 << 30
    forward: Annotated[
        tuple[ForwardSettings, ...], Field(description="Backends that priced spans are sent on to; only in the file.")
    ] = ()
    prices: Annotated[
        tuple[NegotiatedPriceSettings, ...],
        Field(description="Discounts and prices that were agreed with providers; only in the file."),
    ] = ()
    webhooks: Annotated[
        tuple[WebhookSettings, ...], Field(description="Receivers of events, as Standard Webhooks; only in the file.")
    ] = ()
    oidc: Annotated[
        OidcSettings | None, Field(description="Identity provider that people sign in at; only in the file.")
    ] = None
    channels: Annotated[
        tuple[ChannelSettings, ...], Field(description="Chats and mailboxes that are told of events; only in the file.")
    ] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [table.name for table in (*self.webhooks, *self.channels)]
        if len(names) != len(set(names)):
            raise ValueError("webhooks and channels need names of their own: deliveries are kept under them")
        backends = [backend.name for backend in self.backends]
        if len(backends) != len(set(backends)):
            raise ValueError("backends in [[forward]] need names of their own; that of forward_otlp_url is default")
        if not is_valid_id(self.default_organisation):
            raise ValueError("default_organisation must be 1 to 256 printable characters")
        if self.database_url is not None and not self.database_url.startswith(("sqlite:///", *_POSTGRESQL)):
            raise ValueError("database_url must be sqlite:///FILE or postgresql://user:password@host/database")
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together: TLS needs both")
        if self.demo and (self.require_key or not self._only_this_machine):
            raise ValueError("demo makes everybody an administrator, so listen and grpc_listen must be loopback")
        self._check_settlement()
        self._check_own_traces()
        return self

    def _check_settlement(self) -> None:
        if self.settles and self.settlement_key_file is None:
            raise ValueError("settlement_mode is on, so settlement_key_file must name the file of the signing key")
        if (self.settlement_mode == "pay") != (self.settlement_payee is not None):
            raise ValueError("settlement_mode pay needs settlement_payee, and the other modes have none")
        organisations = [table.organisation for table in self.settlement]
        if len(organisations) != len(set(organisations)):
            raise ValueError("each organisation may have one table [[settlement]]")

    def _check_own_traces(self) -> None:
        if self.own_traces_otlp_url is None:
            return
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

    @property
    def settles(self) -> bool:
        """Whether any organisation is settled."""
        return any(mode != "off" for mode in (self.settlement_mode, *(table.mode for table in self.settlement)))

    @property
    def backends(self) -> tuple[ForwardSettings, ...]:
        """Everything that spans are sent on to."""
        one = () if self.forward_otlp_url is None else (ForwardSettings(url=self.forward_otlp_url),)
        return (*one, *self.forward)

    @property
    def own_traces_endpoint(self) -> str | None:
        """Where the collector's own traces are sent; None: it makes none."""
        return None if self.own_traces_otlp_url is None else traces_endpoint(self.own_traces_otlp_url)

    @property
    def key_required(self) -> bool:
        """Whether a request without an API key is refused."""
        if self.require_key is not None:
            return self.require_key
        return not self._only_this_machine

    @property
    def _only_this_machine(self) -> bool:
        return self.listen.is_loopback and (self.grpc_listen is None or self.grpc_listen.is_loopback)

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
    def exports_folder(self) -> Path:
        """The folder of exports."""
        return self.export_dir or self.data_dir / "exports"

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
