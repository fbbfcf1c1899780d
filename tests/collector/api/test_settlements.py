"""Settlements over HTTP: lists, settling now, payments elsewhere, doubts, and the comparison with the chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from p402.collector.settlement_settings import SettlementSettings
from support.anvil import DEV_KEYS
from support.otlp import ASpan
from support.server import Server, serving

PAYEE = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
AWAY = "http://127.0.0.1:9"
INVOICE = {"kind": "provider-invoice", "id": "INV-7", "amount_usd": "0.5"}


@pytest.fixture
async def settled(tmp_path: Path) -> AsyncIterator[Server]:
    """Settles acme by payment and initech by reference, with a node that is away; others are only anchored."""
    key = tmp_path / "settlement.key"
    key.write_text(DEV_KEYS[0])
    async with serving(
        tmp_path,
        settlement_mode="anchor",
        settlement_network="local",
        settlement_rpc_url=AWAY,
        settlement_key_file=key,
        settlement=(
            SettlementSettings(organisation="acme", mode="pay", payee=PAYEE),
            SettlementSettings(organisation="initech", mode="reference"),
            SettlementSettings(organisation="hooli", mode="off"),
        ),
        require_key=True,
    ) as running:
        yield running


async def ask(server: Server, method: str, path: str, body: Any = None, **bound_to: str) -> Any:
    key = await server.key("admin", **bound_to)
    options = {} if body is None else {"json": body}
    return await server.ask(method, path, headers={"Authorization": f"Bearer {key}"}, **options)


async def plan(server: Server, organisation: str) -> str:
    """Seal a receipt and plan its settlement, which cannot be sent; gives its id."""
    await server.send(ASpan.of({"p402.organisation": organisation}), key=await server.key("ingest"))
    await server.seal(organisation=organisation)
    assert server.collector.settlement is not None
    with pytest.raises(Exception, match="did not answer"):
        await server.collector.settlement.step()
    page = (await ask(server, "GET", f"/v1/settlements?organisation={organisation}")).json
    settlement_id: str = page["settlements"][0]["settlement_id"]
    return settlement_id


async def test_a_settlement_is_shown_with_its_statement_and_what_is_known(settled: Server) -> None:
    settlement_id = await plan(settled, "acme")
    shown = (await ask(settled, "GET", f"/v1/settlements/{settlement_id}?organisation=acme")).json
    assert (shown["state"], shown["mode"], shown["amount_usd"]) == ("planned", "pay", "0.264235")
    assert (shown["statement"]["payee"], shown["statement"]["v"]) == (PAYEE, 2)
    assert (shown["fee_usd"], shown["latency_seconds"], shown["ended_at"], shown["tx_hash"]) == (None, None, None, None)
    answer = await ask(settled, "GET", f"/v1/settlements/{settlement_id}?organisation=initech")
    assert (answer.status, settlement_id in answer.json["detail"]) == (404, True)


async def test_settlements_come_in_pages_and_by_state(settled: Server) -> None:
    settlement_id = await plan(settled, "acme")
    page = (await ask(settled, "GET", "/v1/settlements?organisation=acme&limit=1")).json
    assert page["next_after"].endswith(settlement_id)
    for asked in ("unconfirmed=true", "in_doubt=true"):
        assert (await ask(settled, "GET", f"/v1/settlements?organisation=acme&{asked}")).json["settlements"] == []
    assert (await ask(settled, "GET", "/v1/settlements?organisation=acme&unconfirmed=false")).json["settlements"]
    rest = (await ask(settled, "GET", f"/v1/settlements?organisation=acme&after={page['next_after']}")).json
    assert rest == {"settlements": [], "next_after": None}
    for state, count in (("planned", 1), ("final", 0)):
        page = (await ask(settled, "GET", f"/v1/settlements?organisation=acme&state={state}")).json
        assert len(page["settlements"]) == count


async def test_settling_now_says_how(settled: Server) -> None:
    answer = await ask(settled, "POST", "/v1/settlements/flush?organisation=acme")
    assert (answer.status, answer.json["mode"]) == (202, "pay")
    answer = await ask(settled, "POST", "/v1/settlements/flush?organisation=hooli")
    assert (answer.status, "is off" in answer.json["detail"]) == (409, True)


async def test_a_payment_elsewhere_is_noted_once_and_stands_in_the_next_statement(settled: Server) -> None:
    path = "/v1/settlements/references?organisation=initech"
    first = await ask(settled, "POST", path, INVOICE)
    assert (first.status, first.json["amount_usd"], first.json["settlement_id"]) == (201, "0.5", None)
    again = await ask(settled, "POST", path, INVOICE)
    assert (again.status, again.json) == (200, first.json)
    other = await ask(settled, "POST", path, {**INVOICE, "amount_usd": "0.6"})
    assert (other.status, "as 0.5 USD" in other.json["detail"]) == (409, True)
    settlement_id = await plan(settled, "initech")
    shown = (await ask(settled, "GET", f"/v1/settlements/{settlement_id}?organisation=initech")).json
    assert shown["statement"]["paid_elsewhere"] == [INVOICE]
    assert shown["statement"]["carry_out_usd"] == "-0.235765"
    assert (await ask(settled, "GET", path)).json == {"payments": [first.json], "next_after": None}


@pytest.mark.parametrize(
    "change",
    [{"kind": "Invoice"}, {"id": " x"}, {"id": ""}, {"amount_usd": "-1"}, {"amount_usd": 1}, {"more": 1}],
    ids=str,
)
async def test_a_payment_elsewhere_that_cannot_be_is_refused(settled: Server, change: dict[str, Any]) -> None:
    answer = await ask(settled, "POST", "/v1/settlements/references?organisation=initech", {**INVOICE, **change})
    assert answer.status == 400


async def test_where_nothing_is_due_nothing_can_be_paid_elsewhere(settled: Server) -> None:
    answer = await ask(settled, "POST", "/v1/settlements/references?organisation=globex", INVOICE)
    assert (answer.status, "mode anchor" in answer.json["detail"]) == (409, True)


async def doubt(server: Server) -> str:
    """Fail a payment so that nobody knows what became of it."""
    settlement_id = await plan(server, "acme")
    await server.collector.database.write(
        lambda connection: connection.exec_driver_sql(
            "UPDATE settlements SET state = 'failed', failure = 'superseded', in_doubt = 1, tx_hash = '0xab', ended_at = 1"
        )
    )
    return settlement_id


@pytest.mark.parametrize(("outcome", "payments"), [("paid", ["0.264235"]), ("not_paid", [])])
async def test_a_doubt_is_resolved_once(settled: Server, outcome: str, payments: list[str]) -> None:
    path = f"/v1/settlements/{await doubt(settled)}/resolve?organisation=acme"
    body = {"outcome": outcome, "reason": "seen in the explorer"}
    answer = await ask(settled, "POST", path, body)
    assert (answer.status, answer.json["in_doubt"], answer.json["state"]) == (200, False, "failed")
    assert (await ask(settled, "POST", path, body)).status == 409
    noted = (await ask(settled, "GET", "/v1/settlements/references?organisation=acme")).json["payments"]
    assert [payment["amount_usd"] for payment in noted] == payments
    audited = (await ask(settled, "GET", "/v1/audit?organisation=acme")).json["audit"]
    assert [change["detail"] for change in audited if change["action"] == "settlement.resolved"] == [body]


async def test_a_doubt_is_found_however_old_it_is(settled: Server) -> None:
    settlement_id = await doubt(settled)
    for flag, listed in (("true", [settlement_id]), ("false", [])):
        page = (await ask(settled, "GET", f"/v1/settlements?organisation=acme&in_doubt={flag}")).json
        assert [settlement["settlement_id"] for settlement in page["settlements"]] == listed


async def test_a_difference_of_nobodys_is_shown_to_the_default_organisation_until_it_is_acknowledged(
    settled: Server,
) -> None:
    await settled.collector.database.write(
        lambda connection: connection.exec_driver_sql(
            "INSERT INTO discrepancies (id, kind, place, memo, problem, found_at)"
            f" VALUES ('dsc_1', 'unknown_memo', '0xab:0', X'{'00' * 32}', 'Who was it?', 1)"
        )
    )
    path = "/v1/settlements/reconciliation"
    body = {"reason": "the payee gave it back"}
    assert (await ask(settled, "GET", f"{path}?organisation=acme")).json["discrepancies"] == []
    assert (await ask(settled, "POST", f"{path}/dsc_1/acknowledge?organisation=acme", body)).status == 404
    [shown] = (await ask(settled, "GET", path)).json["discrepancies"]
    assert shown["discrepancy_id"] == "dsc_1"
    answer = await ask(settled, "POST", f"{path}/dsc_1/acknowledge", body)
    assert (answer.status, answer.json["discrepancies"]) == (200, [])
    assert (await ask(settled, "POST", f"{path}/dsc_1/acknowledge", body)).status == 404
    [audited] = (await ask(settled, "GET", "/v1/audit")).json["audit"][:1]
    assert (audited["action"], audited["detail"]["reason"]) == ("discrepancy.acknowledged", body["reason"])


async def test_without_a_node_nothing_is_compared(settled: Server) -> None:
    shown = await ask(settled, "GET", "/v1/settlements/reconciliation?organisation=acme")
    assert (shown.json["checked_at"], shown.json["discrepancies"]) == (None, [])
    assert (await ask(settled, "POST", "/v1/settlements/reconciliation?organisation=acme")).status == 503


async def test_a_collector_that_settles_nothing_says_so(server: Server) -> None:
    key = {"Authorization": f"Bearer {await server.key('admin')}"}
    for path in ("/v1/settlements/reconciliation", "/v1/settlements/flush"):
        answer = await server.ask("POST", path, headers=key)
        assert (answer.status, "off" in answer.json["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/settlements"),
        ("GET", "/v1/settlements/stl_1"),
        ("GET", "/v1/settlements/references"),
        ("GET", "/v1/settlements/reconciliation"),
        ("POST", "/v1/settlements/flush"),
        ("POST", "/v1/settlements/reconciliation"),
    ],
)
async def test_a_key_of_a_department_sees_nothing_of_the_whole_organisations_money(
    settled: Server, method: str, path: str
) -> None:
    assert (await ask(settled, method, path, organisation="acme", department="legal")).status == 403
