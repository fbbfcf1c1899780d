"""A webhook calls the address of the configuration, and nothing else, whatever the receiver or its name server says."""

from __future__ import annotations

import base64
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from p402.collector.channel_settings import ChannelSettings, WebhookSettings
from p402.collector.notifications.events import StoredEvent
from p402.collector.notifications.people import PeopleChannel
from p402.collector.notifications.webhook import Webhook
from p402.collector.outbound import is_public
from support.receiver import Receiver, receiver

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
EVENT = StoredEvent("evt_1", 1, "anomaly.detected", "acme", {"summary": "Look."}, datetime(2026, 5, 15, tzinfo=UTC))


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@asynccontextmanager
async def webhook(url: str, **settings: Any) -> AsyncIterator[Webhook]:
    given = {"allow_private": True, "secrets": (SECRET,), **settings}
    made = Webhook(WebhookSettings(name="ops", url=url, **given))
    try:
        yield made
    finally:
        await made.close()


async def test_a_receiver_gets_what_its_library_verifies(there: Receiver) -> None:
    async with webhook(f"{there.url}/alerts?team=1") as ops:
        answer = await ops.send(EVENT, datetime.now(UTC))
    assert answer.problem is None
    [got] = there.received
    assert (got.path, got.headers["content-type"]) == ("/alerts?team=1", "application/json")
    assert Verifier(SECRET).verify(got.body, got.headers)["data"] == {"summary": "Look."}


async def test_secrets_can_be_in_a_file_one_a_line(there: Receiver, tmp_path: Any) -> None:
    other = "whsec_" + base64.b64encode(b"t" * 32).decode()
    (tmp_path / "secrets").write_text(f"{other}\n{SECRET}\n")
    async with webhook(there.url, secrets=(), secret_file=tmp_path / "secrets") as ops:
        await ops.send(EVENT, datetime.now(UTC))
    [got] = there.received
    for known in (SECRET, other):
        assert Verifier(known).verify(got.body, got.headers)


@pytest.mark.parametrize(("status", "final"), [(500, False), (404, False), (429, False), (410, True)])
async def test_what_is_not_taken_is_said_with_its_status(there: Receiver, status: int, *, final: bool) -> None:
    there.statuses = [status]
    async with webhook(there.url) as ops:
        answer = await ops.send(EVENT, datetime.now(UTC))
    assert (answer.problem, answer.final) == (f"HTTP {status}", final)


async def test_a_redirect_is_not_followed(there: Receiver) -> None:
    there.statuses, there.location = [307], f"{there.url}/elsewhere"
    async with webhook(there.url) as ops:
        answer = await ops.send(EVENT, datetime.now(UTC))
    assert answer.problem == "HTTP 307"
    assert [got.path for got in there.received] == ["/"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_refused_however_it_is_written(there: Receiver, host: str) -> None:
    port = there.url.rpartition(":")[2]
    async with webhook(f"http://{host}:{port}/", allow_private=False) as ops:
        answer = await ops.send(EVENT, datetime.now(UTC))
    assert answer.problem is not None
    assert "allow_private" in answer.problem
    assert there.received == []


async def test_no_connection_is_said_without_the_address() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with webhook(f"http://127.0.0.1:{closed.getsockname()[1]}/token-of-ours") as ops:
            answer = await ops.send(EVENT, datetime.now(UTC))
    assert answer.problem is not None
    assert answer.problem.startswith("no connection: ")
    assert "token-of-ours" not in answer.problem


async def test_a_name_that_does_not_exist_is_said() -> None:
    async with webhook("http://nowhere.invalid/") as ops:
        answer = await ops.send(EVENT, datetime.now(UTC))
    assert answer.problem == "the name of the host cannot be resolved"


async def test_a_receiver_that_never_answers_is_given_up_in_time(
    there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p402.collector.notifications.webhook._TIMEOUT_SECONDS", 0.2)
    there.answering.clear()
    async with webhook(there.url) as ops:
        answer = await ops.send(EVENT, datetime.now(UTC))
    assert answer.problem == "no answer within 0 seconds"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff0e::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:a00:1::", False),
    ],
)
def test_only_the_public_internet_is_public(address: str, *, public: bool) -> None:
    assert is_public(address) is public


async def test_people_are_told_through_apprise(there: Receiver, tmp_path: Any) -> None:
    (tmp_path / "url").write_text(f"json://{there.authority}/chat\n")
    chat = PeopleChannel(ChannelSettings(name="chat", apprise_url_file=tmp_path / "url"))
    there.statuses = [500]
    assert (await chat.send(EVENT, datetime.now(UTC))).problem == "the service did not take the message"
    assert (await chat.send(EVENT, datetime.now(UTC))).problem is None
    assert [got.path for got in there.received] == ["/chat", "/chat"]
    assert b"Look." in there.received[-1].body


async def test_channels_of_people_follow_no_redirect_either(there: Receiver) -> None:
    settings = {"name": "chat", "apprise_url": f"json://{there.authority}/chat"}
    chat = PeopleChannel(ChannelSettings.model_validate(settings))
    there.statuses, there.location = [307], f"{there.url}/elsewhere"
    assert (await chat.send(EVENT, datetime.now(UTC))).problem is not None
    assert [got.path for got in there.received] == ["/chat"]


def test_an_address_that_apprise_does_not_know_is_refused_without_repeating_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="apprise cannot use this address") as refused:
        PeopleChannel(ChannelSettings.model_validate({"name": "chat", "apprise_url": "nonesuch://hunter2@host"}))
    printed = capfd.readouterr()
    assert "hunter2" not in str(refused.value) + printed.out + printed.err
