"""Exports: asked for, made in the background, downloaded; of one's own part, and without what may not be disclosed."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import pytest

from p402.exporters.documents.manifest import manifest_files
from p402.receipts import Report, Status, Trust, parse_bundle, verify
from p402.vocabulary import Money
from support.exporting import ask, exported, finished, rows
from support.otlp import ASpan
from support.pdf_reading import read_pdf
from support.server import Server, bearer

COST = "0.264235"  # of each priced session, see support.otlp
EMPLOYEES, NAMES = (b"e-1042", b"e-7"), (b"s-1", b"s-3")


async def test_an_export_says_how_far_it_is_and_where_its_files_are(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    asked = await ask(server, key, format="csv")
    assert asked.status == 202
    assert asked.headers["Location"] == f"/v1/exports/{asked.json['export_id']}"
    export = await finished(server, key, asked.json["export_id"])
    assert export["state"] == "done"
    assert export["rows"] == {"done": 5, "total": 5}
    assert [file["name"] for file in export["files"]] == ["receipts.csv", "manifest.json"]
    [listed] = (await server.get("/v1/exports", key)).json["exports"]
    assert listed == export


@pytest.mark.parametrize("kind", ["bundle", "ndjson", "csv", "charges-csv", "focus", "ocsf", "pdf", "evidence"])
async def test_the_manifest_vouches_for_every_file(server: Server, kind: str) -> None:
    key = await server.key("exports", "holds", "spend:read", organisation="acme")
    export, files = await exported(server, key, format=kind)
    manifest = json.loads(files["manifest.json"])
    checkpoint = await server.get("/v1/checkpoints/latest", await server.key("receipts:read", organisation="acme"))
    assert manifest["checkpoint"] == checkpoint.body.decode()
    assert (manifest["export_id"], manifest["kind"]) == (export["export_id"], kind)
    for file in manifest_files(files["manifest.json"]):
        assert hashlib.sha256(files[file.name]).hexdigest() == file.sha256
        assert len(files[file.name]) == file.bytes
    assert {file["name"]: file["sha256"] for file in export["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }


async def test_receipts_as_csv_and_as_ndjson_say_the_same(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    _, as_csv = await exported(server, key, format="csv")
    _, as_lines = await exported(server, key, format="ndjson")
    lines = [json.loads(line) for line in as_lines["receipts.ndjson"].splitlines()]
    cells = rows(as_csv["receipts.csv"])
    assert [line["receipt_id"] for line in lines] == [row["receipt_id"] for row in cells]
    assert [row["seq"] for row in cells] == ["0", "1", "2", "3", "4"]
    assert [row["cost_usd"] for row in cells] == [COST] * 4 + ["0"]
    assert [row["unpriced_requests"] for row in cells] == ["0"] * 4 + ["1"]
    for line, row in zip(lines, cells, strict=True):
        assert (line["leaf_hash"], line["body"]["client"] or "") == (row["leaf_hash"], row["client"])


async def test_a_batch_of_receipts_verifies_as_a_single_one_does(server: Server) -> None:
    key = await server.key("exports", "receipts:read", organisation="acme")
    vkey = (await server.get("/.well-known/receipt-keys", key)).json["keys"][0]["vkey"]
    _, files = await exported(server, key, format="bundle")
    assert len(parse_bundle(files["bundle-0001.json"]).receipts) == 5
    report = verify(files["bundle-0001.json"], Trust((vkey,)))
    assert not [check for check in report.checks if check.status is Status.FAILED]


async def test_a_bundle_of_an_organisation_is_a_whole_range_and_says_when_something_was_taken_out(
    server: Server,
) -> None:
    key = await server.key("exports", "receipts:read", organisation="acme")
    vkey = (await server.get("/.well-known/receipt-keys", key)).json["keys"][0]["vkey"]
    _, files = await exported(server, key, format="bundle")
    trust = Trust((vkey,), complete=True)
    assert statuses(verify(files["bundle-0001.json"], trust), "range") == {Status.OK}
    bundle = json.loads(files["bundle-0001.json"])
    del bundle["receipts"][2]
    assert statuses(verify(json.dumps(bundle).encode(), trust), "range") == {Status.FAILED}
    _, part = await exported(server, key, format="bundle", client="globex")
    assert statuses(verify(part["bundle-0001.json"], trust), "range") == {Status.NOT_CHECKED}


def statuses(report: Report, subject: str) -> set[Status]:
    return {check.status for check in report.checks if check.subject == subject}


async def test_charges_come_with_the_receipt_that_sealed_them(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    _, charges = await exported(server, key, format="charges-csv")
    _, receipts = await exported(server, key, format="csv")
    sealed = {row["receipt_id"]: row["leaf_hash"] for row in rows(receipts["receipts.csv"])}
    found = rows(charges["charges.csv"])
    assert {row["receipt_id"]: row["leaf_hash"] for row in found} == sealed
    assert [row["cost_usd"] for row in found] == [COST] * 4 + [""]
    assert found[4]["unpriced_reason"]


async def test_the_parts_of_a_session_are_sealed_into_their_own_receipts(server: Server) -> None:
    sender = await server.key("ingest")
    await server.send(ASpan.of({"p402.session": "s-1"}), ASpan.of({"p402.session": "s-1"}), key=sender)
    await server.seal("s-1")
    await server.send(ASpan.of({"p402.session": "goes on"}), key=sender)
    key = await server.key("exports", organisation="acme")
    _, files = await exported(server, key, format="charges-csv")
    ids = [row["receipt_id"] for row in rows(files["charges.csv"])]
    _, receipts = await exported(server, key, format="csv")
    by_part = {
        row["part"]: row["receipt_id"]
        for row in rows(receipts["receipts.csv"])
        if row["receipt_id"] in {ids[0], ids[5]}
    }
    assert by_part == {"1": ids[0], "2": ids[5]}
    assert ids[5] == ids[6] != ids[0]
    assert ids[7] == ""


async def test_focus_rows_add_up_to_the_ledger_and_what_has_no_price_is_listed_beside_them(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    _, files = await exported(server, key, format="focus")
    found = rows(files["focus.csv"])
    assert sum((Money.parse(row["BilledCost"]) for row in found), Money(0)) == Money.parse("1.05694")
    assert {row["SkuMeter"] for row in found} == {"Input Tokens", "Output Tokens"}
    [unpriced] = rows(files["unpriced.csv"])
    assert unpriced["model"] == "house-model"
    counts = json.loads(files["manifest.json"])["counts"]
    assert counts == {"charges": 5, "unpriced_charges": 1, "adjustments": 0, "cost_usd": "1.05694"}


async def test_nothing_personal_is_in_an_export_unless_it_was_asked_for(server: Server) -> None:
    key = await server.key("exports", "receipts:personal", "holds", "spend:read", organisation="acme")
    for kind in ("bundle", "ndjson", "csv", "charges-csv", "focus", "evidence"):
        _, files = await exported(server, key, format=kind)
        assert not [secret for secret in EMPLOYEES for data in _opened(files) if secret in data], kind


async def test_only_what_was_asked_for_is_disclosed_and_that_is_noted(server: Server) -> None:
    key = await server.key("exports", "receipts:personal", "holds", "spend:read", organisation="acme")
    for kind, file in (("csv", "receipts.csv"), ("charges-csv", "charges.csv"), ("ndjson", "receipts.ndjson")):
        _, files = await exported(server, key, format=kind, disclose=["employee"])
        assert b"e-1042" in files[file]
        assert b"s-1" not in files[file]
    _, files = await exported(server, key, format="bundle", disclose=["session_id"])
    assert [len(receipt.disclosures) for receipt in parse_bundle(files["bundle-0001.json"]).receipts] == [1] * 5
    _, evidence = await exported(server, key, format="evidence")
    noted = rows(_opened_by_name(evidence)["access-log.csv"])
    made = [(row["what"], row["count"]) for row in noted if row["what"].startswith("POST")]
    assert made == [("POST /v1/exports", "5")] * 4


async def test_whoever_downloads_what_is_personal_is_noted(server: Server) -> None:
    maker = await server.key("exports", "receipts:personal", organisation="acme")
    disclosing = (await ask(server, maker, format="csv", disclose=["employee"])).json["export_id"]
    named = (await ask(server, maker, format="csv", employee="e-1042")).json["export_id"]
    plain = (await ask(server, maker, format="csv")).json["export_id"]
    assert [(await finished(server, maker, each))["state"] for each in (disclosing, named, plain)] == ["done"] * 3
    reader = await server.key("exports", "receipts:personal", "holds", organisation="acme")
    before = (await server.get("/v1/access-log", reader)).json["reads"]
    for export_id in (disclosing, named, plain):
        assert (await server.get(f"/v1/exports/{export_id}/files/receipts.csv", reader)).status == 200
    noted = (await server.get("/v1/access-log", reader)).json["reads"][len(before) :]
    [used] = [one.id for one in await server.collector.keys.list() if "holds" in one.scopes]
    what = "GET /v1/exports/{export_id}/files/{name}"
    assert [(row["what"], row["items"], row["key_id"]) for row in noted] == [
        (what, [export_id], used) for export_id in (disclosing, named)
    ]


@pytest.mark.parametrize(("scope", "missing"), [("holds", "spend:read"), ("spend:read", "holds")])
async def test_evidence_needs_the_scopes_of_the_records_that_it_has(server: Server, scope: str, missing: str) -> None:
    refused = await ask(server, await server.key("exports", scope, organisation="acme"), format="evidence")
    assert refused.status == 403
    assert repr(missing) in refused.json["detail"]


@pytest.mark.parametrize("scope", ["holds", "spend:read"])
async def test_evidence_is_for_those_who_may_see_the_records_that_it_has(server: Server, scope: str) -> None:
    maker = await server.key("exports", "holds", "spend:read", organisation="acme")
    export, _ = await exported(server, maker, format="evidence")
    key = await server.key("exports", scope, organisation="acme")
    assert (await server.get(f"/v1/exports/{export['export_id']}", key)).status == 404
    assert {(await server.get(file["url"], key)).status for file in export["files"]} == {404}
    assert (await server.get("/v1/exports", key)).json["exports"] == []
    assert export["export_id"] not in (await server.get("/exports", key)).body.decode()


@pytest.mark.parametrize("more", [{"disclose": ["employee"]}, {"employee": "e-1042"}])
async def test_personal_fields_need_a_scope_of_their_own(server: Server, more: dict[str, Any]) -> None:
    key = await server.key("exports", organisation="acme")
    answer = await ask(server, key, format="csv", **more)
    assert answer.status == 403
    assert "receipts:personal" in answer.json["detail"]


async def test_who_may_not_see_what_is_personal_does_not_see_an_export_that_has_it(server: Server) -> None:
    export, _ = await exported(
        server,
        await server.key("exports", "receipts:personal", organisation="acme"),
        format="csv",
        disclose=["employee"],
    )
    key = await server.key("exports", organisation="acme")
    assert (await server.get(f"/v1/exports/{export['export_id']}", key)).status == 404
    assert (await server.get(export["files"][0]["url"], key)).status == 404
    assert (await server.get("/v1/exports", key)).json["exports"] == []


async def test_a_bound_key_gets_its_own_part_and_sees_no_exports_of_others(server: Server) -> None:
    whole, _ = await exported(server, await server.key("exports", organisation="acme"), format="csv")
    key = await server.key("exports", organisation="acme", department="sales")
    _, files = await exported(server, key, format="csv")
    assert [row["department"] for row in rows(files["receipts.csv"])] == ["sales"]
    _, files = await exported(server, key, format="charges-csv")
    assert [row["department"] for row in rows(files["charges.csv"])] == ["sales"]
    assert (await server.get(f"/v1/exports/{whole['export_id']}", key)).status == 404
    assert len((await server.get("/v1/exports", key)).json["exports"]) == 2
    refused = await ask(server, key, format="csv", department="legal")
    assert (refused.status, refused.json["detail"]) == (403, "The API key is bound to another department.")
    of_part = await server.key("exports", "holds", "spend:read", organisation="acme", department="sales")
    assert "bound below" in (await ask(server, of_part, format="evidence")).json["detail"]
    other = await server.key("exports", organisation="initech")
    assert (await server.get(f"/v1/exports/{whole['export_id']}", other)).status == 404


async def test_filters_narrow_what_is_exported(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    for wanted, expected in (
        ({"client": "initech"}, 1),
        ({"department": "legal"}, 4),
        ({"model": "house-model"}, 1),
        ({"from": "2026-05-15T09:00:01Z"}, 0),
        ({"to": "2026-05-15T09:00:01Z"}, 5),
        ({"after_seq": 1, "before_seq": 4}, 2),
    ):
        export, files = await exported(server, key, format="charges-csv", **wanted)
        assert (len(rows(files["charges.csv"])), export["rows"]["total"]) == (expected, expected), wanted


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "format"),
        ({"format": "xls"}, "format"),
        ({"format": "csv", "from": "2026-05-15"}, "from"),
        ({"format": "csv", "from": "2026-06-01T00:00:00Z", "to": "2026-05-01T00:00:00Z"}, "to must be later"),
        ({"format": "csv", "model": "gpt-5"}, "model goes with"),
        ({"format": "csv", "disclose": ["reviewer"]}, "disclose"),
        ({"format": "csv", "colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(server: Server, body: dict[str, Any], said: str) -> None:
    answer = await ask(server, await server.key("exports", "receipts:personal", organisation="acme"), **body)
    assert answer.status == 400
    assert said in answer.json["detail"]


async def test_an_organisation_without_records_gets_empty_files_with_their_headings(server: Server) -> None:
    key = await server.key("exports")
    export, files = await exported(server, key, "nobody", format="focus")
    assert rows(files["focus.csv"]) == []
    assert files["focus.csv"].startswith(b"BilledCost,")
    assert export["rows"] == {"done": 0, "total": 0}
    _, files = await exported(server, key, "nobody", format="bundle")
    assert list(files) == ["manifest.json"]
    assert json.loads(files["manifest.json"])["checkpoint"] is None


async def test_a_download_goes_on_where_it_broke_off(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    export, files = await exported(server, key, format="csv")
    url, whole = export["files"][0]["url"], files["receipts.csv"]
    rest = await server.get(url, key, Range="bytes=100-")
    assert (rest.status, rest.body) == (206, whole[100:])
    assert rest.headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    first = await server.get(url, key)
    assert (await server.get(url, key, **{"If-None-Match": first.headers["ETag"]})).status == 304
    assert first.media_type == "text/csv"
    assert (await server.get(url, key, Range=f"bytes={len(whole)}-")).status == 416


async def test_a_revoked_key_downloads_nothing_any_more(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    export, _ = await exported(server, key, format="csv")
    [known] = [one for one in await server.collector.keys.list() if "exports" in one.scopes]
    await server.collector.keys.revoke(known.id, server.clock.now())
    assert (await server.get(export["files"][0]["url"], key)).status == 401


async def test_an_unknown_file_or_export_is_not_found(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    export, _ = await exported(server, key, format="csv")
    for path in ("/v1/exports/exp_x", f"/v1/exports/{export['export_id']}/files/..%2F.lock"):
        assert (await server.get(path, key)).status == 404


async def test_files_are_removed_when_their_time_is_over(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    export, _ = await exported(server, key, format="csv")
    server.clock.advance(days=8)
    await server.collector.exports.tidy()
    shown = (await server.get(f"/v1/exports/{export['export_id']}", key)).json
    assert (shown["state"], shown["files"]) == ("expired", [])
    assert (await server.get(export["files"][0]["url"], key)).status == 409


async def test_the_evidence_says_what_controls_ask_and_has_the_records(server: Server) -> None:
    key = await server.key("exports", "holds", "spend:read", organisation="acme")
    _, files = await exported(server, key, format="evidence")
    inside = _opened_by_name(files)
    said = inside["CONTROLS.md"].decode()
    assert all(control in said for control in ("CC6.1", "CC7.2", "A.8.15"))
    assert "supports evidence for" in said
    assert "complian" not in said.lower()
    assert len(rows(inside["receipts.csv"])) == 5
    assert [int(row["size"]) for row in rows(inside["checkpoints.csv"])][-1] == 5
    cover = read_pdf(inside["evidence.pdf"])
    assert cover.files == {"manifest.json": inside["manifest.json"]}
    assert "ISO/IEC 27001:2022, A.8.15" in cover.text
    for file in manifest_files(inside["manifest.json"]):
        assert hashlib.sha256(inside[file.name]).hexdigest() == file.sha256


async def test_exports_are_listed_in_pages(server: Server) -> None:
    key = await server.key("exports", organisation="acme")
    made = [(await exported(server, key, format="csv"))[0]["export_id"] for _ in range(3)]
    first = (await server.get("/v1/exports?limit=2", key)).json
    rest = (await server.get(f"/v1/exports?limit=2&after={first['next_after']}", key)).json
    assert [one["export_id"] for one in first["exports"] + rest["exports"]] == made[::-1]
    assert rest["next_after"] is None


async def test_other_scopes_export_nothing(server: Server) -> None:
    key = await server.key("receipts:read", "spend:read", organisation="acme")
    assert (await ask(server, key, format="csv")).status == 403
    assert (await server.get("/v1/exports", key)).status == 403
    assert (await server.ask("GET", "/v1/exports", headers=bearer(None))).status == 401


def _opened_by_name(files: dict[str, bytes]) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(files["evidence.zip"])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _opened(files: dict[str, bytes]) -> list[bytes]:
    packed = list(_opened_by_name(files).values()) if "evidence.zip" in files else []
    return [*files.values(), *packed]
