"""Makes exports, one at a time, in whichever collector of a database leads: a part is made, synced, and committed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from p402.collector.exports.folder import ExportFolder, FilesGone
from p402.collector.exports.ports import Export, ExportFormat, ExportStore, Leadership, Progress
from p402.collector.exports.requests import request_value
from p402.collector.exports.sections import PDFS_NAME, is_complete, next_part
from p402.collector.observed_work import Observe, unobserved
from p402.exporters.documents.manifest import MANIFEST_NAME, ManifestFile, make_manifest
from p402.exporters.documents.pdf import EvidencePack, render_evidence
from p402.vocabulary import Clock, Money, Permanent, Transient

__all__ = ["EVIDENCE_NAME", "ExportWorker"]

EVIDENCE_NAME = "evidence.zip"
COVER_NAME = "evidence.pdf"

_LONGEST_WAIT_SECONDS = 1.0  # between two looks at what another collector was asked for
_TIDY_SECONDS = 60.0

log = structlog.get_logger(__name__)


class ExportTooLarge(Permanent):
    """An export needs more room than all exports may have."""


class ExportWorker:
    """Makes what was asked for, and removes what is past its time. Whatever a crash interrupts is done again."""

    def __init__(
        self,
        store: ExportStore,
        folder: ExportFolder,
        leadership: Leadership,
        clock: Clock,
        *,
        keep: timedelta,
        most_bytes: int,
        version: str,
        observe: Observe = unobserved,
    ) -> None:
        self._store = store
        self._folder = folder
        self._leadership = leadership
        self._clock = clock
        self._keep = keep
        self._most_bytes = most_bytes
        self._version = version
        self._observe = observe
        self._wake = asyncio.Event()
        self._tidy_at = 0.0

    def wake(self) -> None:
        """Say that an export was asked for, so that a small one is ready at once."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake.clear()
            try:
                while await self._unbroken(self._look()):
                    pass
            except Transient as error:
                log.warning("exports_wait", problem=str(error))
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                    await self._wake.wait()

    async def close(self) -> None:
        """Let another collector go on."""
        with suppress(Transient):
            await self._leadership.resign()

    async def step(self) -> bool:
        """Make the next part of the export that is under way; tells whether there was one.

        Raises:
            Transient: when the database or the disk is away; the next step goes on.
        """
        with self._folder.alone() as alone:
            if not alone:
                return False
            with self._observe("make export") as work:
                export = await self._store.next(self._clock.now())
                if export is not None:
                    work.did(format=export.request.format.value)
                    await self._work_on(export)
            return export is not None

    async def _work_on(self, export: Export) -> None:
        try:
            if is_complete(export):  # a crash came before it was finished
                await self._finish(export)
                return
            part = await self._store.make(export, partial(next_part, export))
            await self._make_room(export, sum(len(data) for data in part.appends.values()))
            await asyncio.to_thread(self._folder.append, export.id, part.appends, export.progress.files)
            committed = await self._store.commit(export, part.progress)
            if committed is not None and is_complete(committed):
                await self._finish(committed)
        except FilesGone:
            await self._store.commit(export, Progress())  # from the beginning
        except Transient:
            raise
        except Exception as error:
            if not isinstance(error, Permanent):
                log.exception("export_failed", export=export.id)
            problem = (
                str(error) if isinstance(error, Permanent) else "The collector failed at it; its log has the details."
            )
            await self._store.fail(export, problem, self._clock.now())
            await asyncio.to_thread(self._folder.remove, export.id)

    async def _look(self) -> bool:
        """Make a part, and tidy up now and then; tells whether there may be more to make."""
        if not await self._leadership.take():
            return False
        now = asyncio.get_running_loop().time()
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_SECONDS
            await self.tidy()
        return await self.step()

    @staticmethod
    async def _unbroken(work: Coroutine[Any, Any, bool]) -> bool:
        """Await work that goes on in threads: who is cancelled waits until they are through."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    async def tidy(self) -> None:
        """Remove the files of exports that are past their time, and what nobody knows any more."""
        for export_id in await self._store.expired(self._clock.now()):
            await asyncio.to_thread(self._folder.remove, export_id)
            log.info("export_expired", export=export_id)
        live = await self._store.live()
        await asyncio.to_thread(self._folder.remove_others, live)

    async def _make_room(self, export: Export, more: int) -> None:
        """Expire other exports, the oldest first, until there is room for more bytes."""
        tidied = False
        while await asyncio.to_thread(self._folder.bytes_used) + more > self._most_bytes:
            oldest = await self._store.expire_oldest(export.id)
            if oldest is None and not tidied:  # what takes the room may be of no export any more
                await self.tidy()
                tidied = True
                continue
            if oldest is None:
                raise ExportTooLarge(
                    f"The export is larger than the {self._most_bytes} bytes that P402_EXPORT_MAX_BYTES leaves to exports: "
                    "ask for a shorter period, or raise it."
                )
            await asyncio.to_thread(self._folder.remove, oldest)

    async def _finish(self, export: Export) -> None:
        written = export.progress.files
        await asyncio.to_thread(self._folder.look_for, export.id, written)
        if export.request.format is ExportFormat.PDF:
            await asyncio.to_thread(self._folder.close_archive, export.id, PDFS_NAME, written[PDFS_NAME].bytes)
        described = {name: await self._described(export, name) for name in written}
        if export.request.format is ExportFormat.EVIDENCE:
            inner = self._manifest(export, list(described.values()))
            await asyncio.to_thread(self._folder.write, export.id, MANIFEST_NAME, inner)
            cover = await asyncio.to_thread(render_evidence, EvidencePack(manifest=inner))
            await asyncio.to_thread(self._folder.write, export.id, COVER_NAME, cover)
            names = [*sorted(written), COVER_NAME, MANIFEST_NAME]
            await asyncio.to_thread(self._folder.pack, export.id, EVIDENCE_NAME, names)
            described = {EVIDENCE_NAME: await self._described(export, EVIDENCE_NAME)}
        manifest = self._manifest(export, list(described.values()))
        await asyncio.to_thread(self._folder.write, export.id, MANIFEST_NAME, manifest)
        described[MANIFEST_NAME] = await self._described(export, MANIFEST_NAME)
        now = self._clock.now()
        if await self._store.finish(export, list(described.values()), now, now + self._keep):
            await asyncio.to_thread(self._folder.keep_only, export.id, list(described))
            log.info("export_done", export=export.id, format=export.request.format.value, records=export.progress.done)

    async def _described(self, export: Export, name: str) -> ManifestFile:
        sha256, size = await asyncio.to_thread(self._folder.digest, export.id, name)
        written = export.progress.files.get(name)
        return ManifestFile(
            name=name,
            sha256=sha256,
            bytes=size,
            rows=written.rows if written else 0,
            first_seq=written.first_seq if written else None,
            last_seq=written.last_seq if written else None,
        )

    def _manifest(self, export: Export, files: list[ManifestFile]) -> bytes:
        return make_manifest(
            files,
            export_id=export.id,
            kind=export.request.format.value,
            organisation=export.organisation,
            request=request_value(export.request),
            counts=_shown(export.progress.counts),
            checkpoint=export.checkpoint,
            generated_at=self._clock.now(),
            version=self._version,
        )


def _shown(counts: Mapping[str, int]) -> dict[str, Any]:
    """Show amounts among counts as decimal strings."""
    shown: dict[str, Any] = dict(counts)
    if (nano := shown.pop("cost_nano_usd", None)) is not None:
        shown["cost_usd"] = str(Money(nano))
    return shown
