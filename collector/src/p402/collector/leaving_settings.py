"""What leaves the collector: spans, traces of itself, figures, exports, events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from p402.collector.channel_settings import ChannelSettings, WebhookSettings
from p402.collector.forward_settings import BackendUrl, ForwardSettings, traces_endpoint
from p402.collector.markup_settings import MarkupSettings
from p402.collector.setting_bounds import TEN_YEARS

__all__ = ["LeavingSettings"]


class LeavingSettings(BaseModel):
    """A part of the settings."""

    export_dir: Annotated[
        Path | None,
        Field(
            description="Folder of exports; collectors of one database share it. Unset: `exports` in the data folder."
        ),
    ] = None
    export_keep_seconds: Annotated[
        float, Field(ge=60, le=TEN_YEARS, description="How long the files of an export can be downloaded.")
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
    own_traces_otlp_url: Annotated[
        BackendUrl | None,
        Field(
            description="Traces endpoint, over HTTP, of a backend that is sent how long the collector's own requests, commits and "
            "background work take. Unset: it makes no traces."
        ),
    ] = None
    webhooks: Annotated[
        tuple[WebhookSettings, ...], Field(description="Receivers of events, as Standard Webhooks; only in the file.")
    ] = ()
    channels: Annotated[
        tuple[ChannelSettings, ...], Field(description="Chats and mailboxes that are told of events; only in the file.")
    ] = ()

    @model_validator(mode="after")
    def _names_are_apart(self) -> Self:
        names = [table.name for table in (*self.webhooks, *self.channels)]
        if len(names) != len(set(names)):
            raise ValueError("webhooks and channels need names of their own: deliveries are kept under them")
        backends = [backend.name for backend in self.backends]
        if len(backends) != len(set(backends)):
            raise ValueError("backends in [[forward]] need names of their own; that of forward_otlp_url is default")
        return self

    @property
    def backends(self) -> tuple[ForwardSettings, ...]:
        """Everything that spans are sent on to."""
        one = () if self.forward_otlp_url is None else (ForwardSettings(url=self.forward_otlp_url),)
        return (*one, *self.forward)

    @property
    def own_traces_endpoint(self) -> str | None:
        """Where the collector's own traces are sent; None: it makes none."""
        return None if self.own_traces_otlp_url is None else traces_endpoint(self.own_traces_otlp_url)
