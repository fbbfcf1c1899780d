"""Bundles of a log that is anchored and goes on: every entry is there, and each anchor is tied to the newest checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from p402.collector.exports.ports import Bundled, Export, ExportFormat, ExportRequest, ExportState
from p402.collector.storage.export_pages import MakePages, export_pages
from p402.receipts import Link, Outcome, Status, Trust, parse_bundle, parse_checkpoint, verify
from p402.vocabulary import Attribution
from support.settling import Settling, settling


async def export_of(
    at_work: Settling, kind: ExportFormat, within: Attribution, checkpoint: int | None = None
) -> tuple[MakePages, Export]:
    books = at_work.books
    request = ExportRequest(format=kind, within=within, checkpoint=checkpoint)
    export = Export(id="exp_1", request=request, key_id=None, state=ExportState.QUEUED, created_at=books.clock.now())
    make = export_pages(books.vault, lambda _: (None, None), ())
    return make, await books.database.read(lambda connection: make(connection, export).begun())


async def bundled(at_work: Settling, within: Attribution, checkpoint: int | None = None) -> Bundled:
    make, begun = await export_of(at_work, ExportFormat.BUNDLE, within, checkpoint)
    found = await at_work.books.database.read(lambda connection: make(connection, begun).bundle(-1, 1000))
    assert found is not None
    return found


async def test_anchors_of_earlier_states_are_tied_to_the_newest_checkpoint(tmp_path: Path) -> None:
    async with settling(tmp_path) as at_work:
        for _ in range(2):
            await at_work.receipt()
            await at_work.settle()
        await at_work.receipt()
        key = at_work.books.signers.signer("acme").newest.verifier_key
        for within, expected in ((Attribution("acme"), 5), (Attribution("acme", "legal"), 3)):
            data = (await bundled(at_work, within)).data
            bundle = parse_bundle(data)
            assert (len(bundle.receipts), len(bundle.anchors)) == (expected, 2)
            assert [receipt.anchor for receipt in bundle.receipts][-1] is None
            report = verify(data, Trust((key,)))
            assert not [check for check in report.checks if check.status is Status.FAILED]
            assert {check.link for check in report.checks if check.status is Status.NOT_CHECKED} == {Link.ANCHOR}
            assert bundle.whole == ((0, 4) if expected == 5 else None)


async def test_a_bundle_up_to_a_pinned_checkpoint_has_the_anchors_of_later_ones_too(tmp_path: Path) -> None:
    async with settling(tmp_path) as at_work:
        await at_work.receipt()
        await at_work.receipt()
        pinned = parse_checkpoint(latest(at_work))
        await at_work.receipt()
        await at_work.settle()
        await at_work.receipt()
        key = at_work.books.signers.signer("acme").newest.verifier_key
        data = (await bundled(at_work, Attribution("acme"), pinned.size)).data
        bundle = parse_bundle(data)
        assert (len(bundle.receipts), [receipt.anchor for receipt in bundle.receipts]) == (2, [0, 0])
        report = verify(data, Trust((key,), checkpoints=(pinned,)))
        assert not [check for check in report.checks if check.status is Status.FAILED]
        assert any("names a later state of that log, 3 entries" in check.sentence for check in report.checks)
        assert any("you pinned at 2 entries is this one" in check.sentence for check in report.checks)
        fork = replace(pinned, root=bytes(32))
        assert verify(data, Trust((key,), checkpoints=(fork,))).outcome is Outcome.FAILED


def latest(at_work: Settling) -> str:
    """The newest signed checkpoint."""
    [(note,)] = at_work.books.rows("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
    return str(note)


async def test_of_what_was_pruned_nothing_is_claimed_and_the_rest_is_there(tmp_path: Path) -> None:
    async with settling(tmp_path) as at_work:
        for _ in range(3):
            await at_work.receipt()
        ids = await sealed_into(at_work)
        assert None not in ids
        at_work.books.kept.run(
            "DELETE FROM receipts WHERE seq = 1",
            "UPDATE log_entries SET body = '' WHERE organisation = 'acme' AND seq = 1",
        )
        bundle = parse_bundle((await bundled(at_work, Attribution("acme"))).data)
        assert (len(bundle.receipts), bundle.whole) == (2, None)
        assert await sealed_into(at_work) == [None, None, ids[2]]


async def sealed_into(at_work: Settling) -> list[str | None]:
    make, begun = await export_of(at_work, ExportFormat.CHARGES_CSV, Attribution("acme"))
    found = await at_work.books.database.read(lambda connection: make(connection, begun).charges(0, 1000))
    return [posted.receipt.receipt_id if posted.receipt else None for posted in found]
