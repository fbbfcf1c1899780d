"""Exports of documents, for a SIEM, and against a checkpoint that was pinned."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from p402.collector.exports import sections
from p402.receipts import Status, Trust, parse_checkpoint, verify
from support.exporting import ask, exported, finished, rows, sealed_sessions
from support.pdf_reading import read_pdf
from support.server import Server, serving


async def test_receipts_as_documents_are_in_one_archive_with_a_list_of_their_hashes(server: Server) -> None:
    key = await server.key("exports", "receipts:read", organisation="acme")
    export, files = await exported(server, key, format="pdf")
    assert export["rows"] == {"done": 5, "total": 5}
    with zipfile.ZipFile(io.BytesIO(files["receipts.zip"])) as archive:
        assert archive.testzip() is None
        documents = {name: archive.read(name) for name in archive.namelist()}
    listed = rows(files["documents.csv"])
    assert [(row["file"], int(row["bytes"]), row["sha256"]) for row in listed] == [
        (name, len(data), hashlib.sha256(data).hexdigest()) for name, data in documents.items()
    ]
    vkey = (await server.get("/.well-known/receipt-keys", key)).json["keys"][0]["vkey"]
    for row, document in zip(listed, documents.values(), strict=True):
        read = read_pdf(document)
        assert row["receipt_id"] in read.letters
        assert read.metadata["{http://www.aiim.org/pdfa/ns/id/}part"] == "3"
        body = (await server.get(f"/v1/receipts/{row['receipt_id']}/body", key)).body
        assert body in read.files.values()
        [bundle] = [data for data in read.files.values() if b'"p402.bundle' in data or b'"receipts"' in data]
        assert not [check for check in verify(bundle, Trust((vkey,))).checks if check.status is Status.FAILED]
    one = await server.get(f"/v1/receipts/{listed[0]['receipt_id']}.pdf", key)
    assert one.body == documents[listed[0]["file"]]


async def test_documents_disclose_what_was_asked_for_and_nothing_else(server: Server) -> None:
    key = await server.key("exports", "receipts:personal", organisation="acme")
    for disclose, is_shown in (([], False), (["employee"], True)):
        _, files = await exported(server, key, format="pdf", client="initech", disclose=disclose)
        with zipfile.ZipFile(io.BytesIO(files["receipts.zip"])) as archive:
            [name] = archive.namelist()
            text = read_pdf(archive.read(name)).text
        assert ("e-7" in text) is is_shown
        assert "s-3" not in text


async def test_an_export_of_no_receipts_has_an_archive_of_none(server: Server) -> None:
    _, files = await exported(server, await server.key("exports", organisation="acme"), format="pdf", client="nobody")
    assert zipfile.ZipFile(io.BytesIO(files["receipts.zip"])).namelist() == []


async def test_calls_for_a_siem_are_the_events_of_the_api_without_who_made_them(server: Server) -> None:
    key = await server.key("exports", "spend:read", "receipts:personal", organisation="acme")
    _, files = await exported(server, key, format="ocsf", disclose=["employee", "session_id"])
    events = [json.loads(line) for line in files["ocsf.ndjson"].splitlines()]
    assert events == (await server.get("/v1/ocsf/events", key)).json["events"]
    export, files = await exported(server, key, format="ocsf")
    assert (export["files"][0]["rows"], json.loads(files["manifest.json"])["counts"]["charges"]) == (5, 5)
    for event in map(json.loads, files["ocsf.ndjson"].splitlines()):
        assert event["class_uid"] == 6003
        assert not {"user", "session"} & event["actor"].keys()
    _, files = await exported(server, key, format="ocsf", to="2020-01-01T00:00:00Z")
    assert files["ocsf.ndjson"] == b""


async def test_an_export_can_end_at_a_checkpoint_that_somebody_pinned(server: Server) -> None:
    key = await server.key("exports", "receipts:read", organisation="acme")
    pinned = (await server.get("/v1/checkpoints", key)).json["checkpoints"][2]
    vkey = (await server.get("/.well-known/receipt-keys", key)).json["keys"][0]["vkey"]
    for kind in ("bundle", "csv", "pdf"):
        export, files = await exported(server, key, format=kind, checkpoint=pinned["size"])
        manifest = json.loads(files["manifest.json"])
        assert (manifest["checkpoint"], manifest["request"]["checkpoint"]) == (pinned["checkpoint"], pinned["size"])
        assert export["rows"]["done"] == pinned["size"]
    _, files = await exported(server, key, format="bundle", checkpoint=pinned["size"])
    report = verify(files["bundle-0001.json"], Trust((vkey,), checkpoints=(parse_checkpoint(pinned["checkpoint"]),)))
    assert not [check for check in report.checks if check.status is Status.FAILED]
    assert any("is this one, and only grew" in check.sentence for check in report.checks)
    missing = await ask(server, key, format="bundle", checkpoint=99)
    assert (missing.status, "/v1/checkpoints lists" in missing.json["detail"]) == (404, True)
    assert (await ask(server, key, format="focus", checkpoint=pinned["size"])).status == 400


async def test_documents_go_on_after_a_restart_and_come_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        _, expected = await exported(server, None, format="pdf")
        monkeypatch.setattr(sections, "_PDFS_AT_ONCE", 2)
        worker = server.collector.exports
        with worker._folder.alone() as alone:  # nobody else makes parts now
            assert alone
            export_id = (await ask(server, None, format="pdf")).json["export_id"]
            export = await worker._store.next(server.clock.now())
            assert export is not None
            await worker._work_on(export)
            half = (await server.get(f"/v1/exports/{export_id}?organisation=acme")).json
            assert (half["state"], half["rows"]) == ("running", {"done": 2, "total": 5})
            with worker._folder.file(export_id, "receipts.zip").open("ab") as file:
                file.write(b"torn by a crash" * 1000)
    async with serving(tmp_path) as again:
        done = await finished(again, None, export_id)
        for file in done["files"]:
            if file["name"] != "manifest.json":
                made = await again.get(f"{file['url']}?organisation=acme")
                assert made.body == expected[file["name"]]
