"""From the settings to the channels."""

from __future__ import annotations

from p402.collector.channel_settings import ChannelSettings, WebhookSettings
from p402.collector.notifications.ports import Channel
from p402.collector.notifications.webhook import Webhook
from p402.collector.settings import Settings, SettingsInvalid

__all__ = ["connect_channels"]


def connect_channels(settings: Settings) -> list[Channel]:
    """Give the channels of the configuration; nothing is sent yet.

    Raises:
        SettingsInvalid: naming the one whose file or address cannot be used.
    """
    channels: list[Channel] = []
    tables: list[WebhookSettings | ChannelSettings] = [*settings.webhooks, *settings.channels]
    for table in tables:
        try:
            channels.append(_connect(table))
        except (OSError, ValueError) as error:
            raise SettingsInvalid(f"The webhook or channel {table.name!r} cannot be used: {error}.") from error
    return channels


def _connect(table: WebhookSettings | ChannelSettings) -> Channel:
    if isinstance(table, WebhookSettings):
        return Webhook(table)
    # Imported here: apprise knows 150 services, and a collector that tells nobody needs none.
    from p402.collector.notifications.people import PeopleChannel  # noqa: PLC0415

    return PeopleChannel(table)
