"""A payee is called at the address of the configuration and nowhere else, and what it cannot say is no answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import ValidationError

from p402.collector.settlement.mpp import PayeeAway
from p402.collector.settlement.mpp_client import MppClient
from p402.collector.settlement_settings import SettlementSettings
from support.receiver import Receiver, receiver

PAYEE = "0x" + "22" * 20


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[MppClient]:
    made = MppClient()
    yield made
    await made.close()


async def test_what_a_payee_answers_is_told(client: MppClient, there: Receiver) -> None:
    there.statuses = [402]
    answer = await client.call(f"{there.url}/pay?a=1", b"{}", {"X-A": "b"}, allow_private=True)
    assert (answer.status, answer.challenges, answer.receipt, answer.problem) == (402, (), None, None)
    [got] = there.received
    assert (got.path, got.body, got.headers["x-a"]) == ("/pay?a=1", b"{}", "b")


async def test_a_redirect_is_told_and_not_followed(client: MppClient, there: Receiver) -> None:
    there.statuses, there.location = [307], f"{there.url}/elsewhere"
    assert (await client.call(f"{there.url}/pay", b"{}", {}, allow_private=True)).status == 307
    assert [got.path for got in there.received] == ["/pay"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599])
async def test_what_may_be_otherwise_later_is_no_answer(client: MppClient, there: Receiver, status: int) -> None:
    there.statuses = [status]
    with pytest.raises(PayeeAway, match=f"HTTP {status}"):
        await client.call(there.url, b"{}", {}, allow_private=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_not_called_however_it_is_written(
    client: MppClient, there: Receiver, host: str
) -> None:
    port = there.url.rpartition(":")[2]
    with pytest.raises(PayeeAway, match=r"not public|no connection"):
        await client.call(f"http://{host}:{port}/", b"{}", {}, allow_private=False)
    assert there.received == []


async def test_a_payee_that_is_not_there_is_away(client: MppClient) -> None:
    with pytest.raises(PayeeAway, match="no connection"):
        await client.call("http://127.0.0.1:9/", b"{}", {}, allow_private=True)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"mode": "anchor", "payee_url": "https://payee.example.com"}, "mode pay, with the address as payee"),
        ({"mode": "pay", "payee_url": "https://payee.example.com"}, "mode pay needs a payee"),
        ({"mode": "pay", "payee": PAYEE, "payee_url": "ftp://payee.example.com"}, "a payee's address looks like"),
        ({"mode": "pay", "payee": PAYEE, "payee_url": "https://u:p@payee.example.com"}, "no user, password"),
        ({"mode": "pay", "payee": PAYEE, "allow_private": True}, "allow_private is about payee_url"),
    ],
)
def test_a_table_that_names_no_such_payee_is_refused(table: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SettlementSettings.model_validate({"organisation": "acme", **table})
