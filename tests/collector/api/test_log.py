"""The log as others follow it: checkpoints, consistency, entries, keys, closed periods."""

from __future__ import annotations

import json

from p402.receipts import leaf_hash, open_checkpoint, verify_consistency
from support.otlp import ASpan
from support.server import Answer, Server, bearer


async def sealed(server: Server, count: int) -> None:
    for number in range(count):
        await server.send(ASpan.of({"p402.session": f"s-{number}"}))
        await server.seal(f"s-{number}")


async def close(server: Server, period: str, key: str | None) -> Answer:
    return await server.ask("POST", f"/v1/periods/{period}/close?organisation=acme", headers=bearer(key))


async def test_every_checkpoint_stays_and_each_begins_with_the_one_before(server: Server) -> None:
    await sealed(server, 4)
    [key] = (await server.get("/.well-known/receipt-keys?organisation=acme")).json["keys"]
    assert (key["first_size"], key["last_size"], key["signs_until"]) == (1, None, None)
    listed = (await server.get("/v1/checkpoints?organisation=acme&limit=3")).json
    assert [item["size"] for item in listed["checkpoints"]] == [1, 2, 3]
    rest = (await server.get(f"/v1/checkpoints?organisation=acme&limit=3&after={listed['next_after']}")).json
    assert [item["size"] for item in rest["checkpoints"]] == [4]
    assert rest["next_after"] is None
    known = [
        open_checkpoint(item["checkpoint"], [key["vkey"]]) for item in [*listed["checkpoints"], *rest["checkpoints"]]
    ]
    for old in known:
        for new in known[old.size - 1 :]:
            path = f"/v1/consistency?organisation=acme&from={old.size}&to={new.size}"
            hashes = [bytes.fromhex(item) for item in (await server.get(path)).json["hashes"]]
            verify_consistency(old.size, new.size, old.root, new.root, hashes)
    newest = (await server.get("/v1/consistency?organisation=acme&from=2")).json
    assert (newest["from"], newest["to"]) == (2, 4)
    assert newest["checkpoint"] == rest["checkpoints"][0]["checkpoint"]


async def test_states_that_the_log_never_had_are_refused(server: Server) -> None:
    await sealed(server, 2)
    for path, said in [("from=3", "must not be more than 2"), ("from=2&to=1", "from must not"), ("from=0&to=3", "to")]:
        answer = await server.get(f"/v1/consistency?organisation=acme&{path}")
        assert answer.status == 400
        assert said in answer.json["detail"]
    assert (await server.get("/v1/consistency?organisation=acme")).status == 400


async def test_the_whole_log_can_be_followed(server: Server) -> None:
    assert (await server.get("/v1/log/entries?organisation=acme")).body == b""
    await sealed(server, 3)
    first = await server.get("/v1/log/entries?organisation=acme&limit=2")
    assert first.headers["Content-Type"].startswith("application/x-ndjson")
    rest = await server.get("/v1/log/entries?organisation=acme&limit=2&after=1")
    lines = first.body.splitlines() + rest.body.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [0, 1, 2]
    assert [json.loads(line)["prev"] for line in lines[1:]] == [leaf_hash(line).hex() for line in lines[:-1]]
    assert (await server.get("/v1/log/entries?organisation=acme&after=2")).body == b""


async def test_the_whole_log_is_for_keys_of_the_whole_organisation(guarded: Server) -> None:
    legal = await guarded.key("receipts:read", organisation="acme", department="legal")
    whole = await guarded.key("receipts:read", organisation="acme")
    assert (await guarded.get("/v1/log/entries", key=legal)).status == 403
    assert (await guarded.get("/v1/log/entries", key=whole)).status == 200
    assert b"initech" not in (await guarded.get("/v1/log/entries", key=whole)).body


async def test_a_month_that_is_over_is_closed_once(server: Server) -> None:
    await sealed(server, 1)
    assert (await close(server, "2026-05", None)).status == 403  # without a key nobody is an administrator
    admin = await server.key("admin")
    refused = await close(server, "2026-05", admin)
    assert refused.status == 409
    assert "from 2026-06-01T00:00:00.000Z on" in refused.json["detail"]
    assert (await close(server, "May", admin)).status == 400
    server.clock.advance(days=30)
    closed = await close(server, "2026-05", admin)
    assert closed.status == 200
    expected = {"period": "2026-05", "charges": 1, "unpriced_charges": 0, "cost_usd": "0.264235", "entry_seq": 1}
    assert expected.items() <= closed.json.items()
    assert closed.json["closed_by"].startswith("key_")
    again = await close(server, "2026-05", admin)
    assert again.json == closed.json
    assert (await server.get("/v1/periods?organisation=acme")).json == {"periods": [closed.json]}
