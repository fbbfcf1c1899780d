"""The worker: a restart goes on after the last committed part, two never write one file, and the disk is not filled."""

from __future__ import annotations

import asyncio
import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from p402.collector.exports import sections
from p402.collector.exports.folder import ExportFolder
from p402.collector.price_settings import NegotiatedPriceSettings
from p402.collector.storage.export_pages import ExportPages
from p402.collector.storage.exports import forget_disclosing
from p402.collector.storage.sealed_charges import SealedCharges
from support.databases import kept_in
from support.exporting import ask, exported, finished, rows, sealed_sessions
from support.otlp import ASpan
from support.server import Server, serving


async def state_of(server: Server, export_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await server.get(f"/v1/exports/{export_id}?organisation=acme")).json
    return found


async def test_a_restart_goes_on_after_the_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "_AT_ONCE", 2)
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        _, expected = await exported(server, None, format="csv")
        worker = server.collector.exports
        folder = worker._folder
        with folder.alone() as alone:  # nobody else makes parts now
            assert alone
            export_id = (await ask(server, None, format="csv")).json["export_id"]
            export = await worker._store.next(server.clock.now())
            assert export is not None
            await worker._work_on(export)
            half = await state_of(server, export_id)
            assert (half["state"], half["rows"]) == ("running", {"done": 2, "total": 5})
            with folder.file(export_id, "receipts.csv").open("ab") as file:
                file.write(b"torn by a crash" * 1000)
    async with serving(tmp_path) as again:
        assert (await finished(again, None, export_id))["state"] == "done"
        done = await again.get(f"/v1/exports/{export_id}/files/receipts.csv")
        assert done.body == expected["receipts.csv"]


async def test_a_crash_before_the_end_is_noted_finishes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        worker = server.collector.exports
        with worker._folder.alone():
            export_id = (await ask(server, None, format="evidence")).json["export_id"]
            with monkeypatch.context() as crash:
                crash.setattr(worker, "_finish", _dies)
                with pytest.raises(_Crash):
                    await _all_of_it(server)
            assert (await state_of(server, export_id))["state"] == "running"
        assert (await finished(server, None, export_id))["state"] == "done"


async def test_files_that_are_gone_are_made_again_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "_AT_ONCE", 2)
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        worker = server.collector.exports
        with worker._folder.alone():
            export_id = (await ask(server, None, format="ndjson")).json["export_id"]
            export = await worker._store.next(server.clock.now())
            assert export is not None
            await worker._work_on(export)
            worker._folder.remove(export_id)
        export_view = await finished(server, None, export_id)
        assert (export_view["state"], export_view["files"][0]["rows"]) == ("done", 5)


@pytest.mark.parametrize("left", [None, b"torn"])
@pytest.mark.parametrize("kind", ["csv", "evidence", "pdf"])
async def test_files_that_are_gone_or_torn_when_only_the_end_is_missing_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, left: bytes | None
) -> None:
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        worker = server.collector.exports
        with worker._folder.alone():
            export_id = (await ask(server, None, format=kind)).json["export_id"]
            with monkeypatch.context() as crash:
                crash.setattr(worker, "_finish", _dies)
                with pytest.raises(_Crash):
                    await _all_of_it(server)
            for file in (worker._folder._folder / export_id).iterdir():
                file.unlink() if left is None else file.write_bytes(left)
        assert (await finished(server, None, export_id))["state"] == "done"


async def test_who_loses_the_race_for_a_part_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        worker = server.collector.exports
        with worker._folder.alone(), ExportFolder(worker._folder._folder).alone() as also:
            assert not also
            assert not await worker.step()
            await ask(server, None, format="csv")
            first = await worker._store.next(server.clock.now())
            second = await worker._store.next(server.clock.now())
            assert first is not None
            assert second is not None
            part = await worker._store.make(first, lambda pages: sections.next_part(first, pages))
            assert await worker._store.commit(first, part.progress) is not None
            assert await worker._store.commit(second, part.progress) is None


async def test_others_write_while_an_export_is_counted_and_one_given_up_meanwhile_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, go_on, begun = threading.Event(), threading.Event(), ExportPages.begun

    def slowly(pages: ExportPages) -> Any:
        counting.set()
        assert go_on.wait(20)
        return begun(pages)

    monkeypatch.setattr(ExportPages, "begun", slowly)
    async with serving(tmp_path) as server:
        worker = server.collector.exports
        with worker._folder.alone():
            export_id = (await ask(server, None, format="csv")).json["export_id"]
            [queued] = kept_in(tmp_path).rows("SELECT id FROM exports")
            beginning = asyncio.create_task(worker._store.next(server.clock.now()))
            try:
                assert await asyncio.to_thread(counting.wait, 20)
                async with asyncio.timeout(10):
                    await server.collector.database.write(lambda connection: forget(connection, queued[0]))
            finally:
                go_on.set()
            assert await beginning is None
        assert (await state_of(server, export_id))["state"] == "failed"


def forget(connection: Connection, export_id: str) -> None:
    connection.exec_driver_sql(f"UPDATE exports SET state = 'failed' WHERE id = '{export_id}'")


async def test_an_export_of_a_revoked_key_is_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path, require_key=True) as server:
        await sealed_sessions(server)
        key, reader = await server.key("exports", organisation="acme"), await server.key("exports", organisation="acme")
        with server.collector.exports._folder.alone():
            export_id = (await ask(server, key, format="csv")).json["export_id"]
            asked = next(one for one in await server.collector.keys.list() if "exports" in one.scopes)
            await server.collector.keys.revoke(asked.id, server.clock.now())
        export = await finished(server, reader, export_id)
        assert (export["state"], export["problem"]) == ("failed", "The API key that asked for it was revoked.")


async def test_the_oldest_exports_make_room_and_one_that_is_too_large_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        first, files = await exported(server, None, format="csv")
        worker = server.collector.exports
        worker._most_bytes = sum(map(len, files.values())) + 100
        second, _ = await exported(server, None, format="csv")
        assert [(await state_of(server, one["export_id"]))["state"] for one in (first, second)] == ["expired", "done"]
        worker._most_bytes = 10
        failed = await finished(server, None, (await ask(server, None, format="csv")).json["export_id"])
        assert failed["state"] == "failed"
        assert "P402_EXPORT_MAX_BYTES" in failed["problem"]
        assert not worker._folder.file(failed["export_id"], "receipts.csv").exists()


async def test_what_nobody_knows_any_more_is_removed_before_an_export_is_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        worker = server.collector.exports
        worker._tidy_at = float("inf")
        worker._folder.write("exp_of_nobody", "receipts.csv", b"x" * 1_000_000)
        worker._most_bytes = 1_000_000
        await exported(server, None, format="csv")
        assert not worker._folder.file("exp_of_nobody", "receipts.csv").exists()


async def test_what_was_disclosed_is_taken_back_when_somebody_is_erased(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        disclosing, files = await exported(server, None, format="csv", disclose=["employee"])
        assert b"e-1042" in files["receipts.csv"]
        other, _ = await exported(server, None, format="csv")
        await server.collector.database.write(lambda connection: forget_disclosing(connection, "acme"))
        await server.collector.exports.tidy()
        states = [(await state_of(server, one["export_id"]))["state"] for one in (disclosing, other)]
        assert states == ["expired", "done"]
        assert not server.collector.exports._folder.file(disclosing["export_id"], "receipts.csv").exists()


async def test_a_request_that_names_a_person_is_forgotten_with_the_person(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        named, files = await exported(server, None, format="csv", employee="e-7")
        assert len(files["receipts.csv"].splitlines()) == 2
        await server.collector.database.write(lambda connection: forget_disclosing(connection, "acme"))
        assert (await server.get(f"/v1/exports/{named['export_id']}")).status == 404
        assert not any("e-7" in row[0] for row in kept_in(tmp_path).rows("SELECT request FROM exports"))


async def test_a_session_over_many_pages_is_laid_along_its_receipts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    parts = SealedCharges._parts

    def noted(sealed: SealedCharges, scope_id: int) -> Any:
        looked_at.append(scope_id)
        return parts(sealed, scope_id)

    monkeypatch.setattr(SealedCharges, "_parts", noted)
    monkeypatch.setattr(sections, "_AT_ONCE", 2)
    async with serving(tmp_path) as server:
        for _ in range(3):
            await server.send(*(ASpan.of({"p402.session": "s-1"}) for _ in range(3)))
            await server.seal("s-1")
        _, receipts = await exported(server, None, format="csv")
        ids = [row["receipt_id"] for row in rows(receipts["receipts.csv"])]
        for kind in ("charges-csv", "focus"):
            looked_at.clear()
            _, files = await exported(server, None, format=kind)
            assert len(looked_at) == 1, kind
            if kind == "charges-csv":
                assert [row["receipt_id"] for row in rows(files["charges.csv"])] == [id_ for id_ in ids for _ in "123"]


async def test_focus_has_the_list_beside_what_was_agreed(tmp_path: Path) -> None:
    agreed = NegotiatedPriceSettings.model_validate({"provider": "anthropic", "discount_percent": "20"})
    async with serving(tmp_path, prices=[agreed]) as server:
        await server.send(ASpan())
        _, files = await exported(server, None, format="focus")
        found = rows(files["focus.csv"])
        costs = [sum(Decimal(row[name]) for row in found) for name in ("BilledCost", "ContractedCost", "ListCost")]
        assert costs == [Decimal("0.211388"), Decimal("0.211388"), Decimal("0.264235")]


async def test_pages_of_any_size_give_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as server:
        await sealed_sessions(server)
        await server.send(ASpan.of({"p402.session": "s-1"}))  # the last charge is of the first session
        await server.seal("s-1")
        whole = {kind: (await exported(server, None, format=kind))[1] for kind in ("charges-csv", "ndjson", "focus")}
        monkeypatch.setattr(sections, "_AT_ONCE", 2)
        for kind, files in whole.items():
            _, paged = await exported(server, None, format=kind)
            for name in set(files) - {"manifest.json"}:
                assert paged[name] == files[name], kind
            manifests = [json.loads(each["manifest.json"]) for each in (files, paged)]
            assert manifests[0]["counts"] == manifests[1]["counts"]
            assert manifests[0]["files"] == manifests[1]["files"]
        _, bundles = await exported(server, None, format="bundle")
        assert sorted(bundles) == ["bundle-0001.json", "bundle-0002.json", "bundle-0003.json", "manifest.json"]


async def _all_of_it(server: Server) -> None:
    worker = server.collector.exports
    while (export := await worker._store.next(server.clock.now())) is not None:
        await worker._work_on(export)


class _Crash(BaseException):
    """Ends a process."""


async def _dies(_: object) -> None:
    raise _Crash
