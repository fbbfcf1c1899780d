"""What the files of each format hold, page by page (pure).

A format is a sequence of sections, and a section makes pages until there are no more records. Where it goes on is a tuple
of numbers that is kept with the export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from p402.collector.exports.archive import archived
from p402.collector.exports.controls import CONTROLS_NAME, controls_text
from p402.collector.exports.ports import RECORDS, Export, ExportFormat, Pages, Part, Written
from p402.exporters.documents.charge_lines import CHARGE_COLUMNS, UNPRICED_COLUMNS, charge_cells, unpriced_cells
from p402.exporters.documents.csv_lines import Cell, csv_line, csv_lines
from p402.exporters.documents.focus import FOCUS_COLUMNS, focus_rows
from p402.exporters.documents.ndjson import ndjson_lines
from p402.exporters.documents.ocsf import ocsf_event
from p402.exporters.documents.pdf import render_receipt
from p402.exporters.documents.posted import PostedCharge
from p402.exporters.documents.receipt_lines import RECEIPT_COLUMNS, receipt_cells, receipt_value

__all__ = ["PDFS_NAME", "is_complete", "next_part"]

PDFS_NAME = "receipts.zip"
"""The archive of documents; its directory comes when all are in it."""
_PDFS_AT_ONCE = 20
"""Documents in one page: each takes a moment."""
_PDF_COLUMNS = ("seq", "receipt_id", "file", "bytes", "sha256")

_AT_ONCE = 1_000
"""Records in one page: what a restart may have to do again."""

_RECORD_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "checkpoints": ("size", "signed_at", "note"),
    "settlements": ("settlement_id", "state", "checkpoint_size", "memo", "tempo_tx_hash", "tempo_block", "planned_at"),
    "audit": ("id", "at", "key_id", "action", "subject"),
    "anomalies": (
        "seq",
        "id",
        "department",
        "project",
        "client",
        "rule",
        "cost_usd",
        "flagged_at",
        "state",
        "reviewed_by",
        "reviewed_at",
    ),
    "access_log": ("number", "at", "key_id", "who", "what", "items", "count", "log_entry"),
    "reviews": ("id", "review_id", "receipt_id", "action", "self_review", "at", "key_id", "log_entry"),
}
After = tuple[int, ...]


@dataclass(slots=True)
class _Page:
    """What a section gives: bytes by file, the rows of each, and where to go on (None: it is complete)."""

    after: After | None
    done: int = 0
    appends: dict[str, bytes] = field(default_factory=dict)
    rows: dict[str, tuple[int, int | None, int | None]] = field(default_factory=dict)
    """Count, first and last number."""
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, file: str, data: bytes, numbers: Sequence[int], rows: int | None = None) -> None:
        """Append to a file; ``rows`` is how many records that is, if not one for each number."""
        self.appends[file] = data
        count = len(numbers) if rows is None else rows
        self.rows[file] = (count, min(numbers, default=None), max(numbers, default=None))


MakePage = Callable[[Pages, Export, After | None], _Page]


@dataclass(frozen=True, slots=True)
class _Section:
    page: MakePage
    headings: Mapping[str, bytes] = field(default_factory=dict)
    """What its files begin with, even if nothing follows."""


def next_part(export: Export, pages: Pages) -> Part:
    """Make the next part of an export."""
    sections = _SECTIONS[export.request.format]
    at = export.progress
    section = sections[at.section]
    page = section.page(pages, export, at.after)
    files = dict(at.files)
    appends: dict[str, bytes] = {}
    for file in (*section.headings, *(file for file in page.appends if file not in section.headings)):
        data = page.appends.get(file, b"")
        if file not in files:
            data = section.headings.get(file, b"") + data
        rows, first, last = page.rows.get(file, (0, None, None))
        before = files.get(file, Written())
        files[file] = Written(
            bytes=before.bytes + len(data),
            rows=before.rows + rows,
            first_seq=min((seq for seq in (before.first_seq, first) if seq is not None), default=None),
            last_seq=max((seq for seq in (before.last_seq, last) if seq is not None), default=None),
        )
        appends[file] = data
    counts = {name: at.counts.get(name, 0) + page.counts.get(name, 0) for name in {**at.counts, **page.counts}}
    progress = replace(at, after=page.after, done=at.done + page.done, files=files, counts=counts)
    if page.after is None:
        progress = replace(progress, section=at.section + 1)
    return Part(appends, progress)


def is_complete(export: Export) -> bool:
    """Tell whether all files of an export are written, but for its manifest."""
    return export.progress.section == len(_SECTIONS[export.request.format])


def _receipts_csv(pages: Pages, _: Export, after: After | None) -> _Page:
    found = pages.receipts(_number(after), _AT_ONCE)
    seqs = [receipt.seq for receipt in found]
    page = _Page(_more(seqs), len(found), counts={"receipts": len(found)})
    page.add("receipts.csv", csv_lines(map(receipt_cells, found)), seqs)
    return page


def _receipts_ndjson(pages: Pages, _: Export, after: After | None) -> _Page:
    found = pages.receipts(_number(after), _AT_ONCE)
    seqs = [receipt.seq for receipt in found]
    page = _Page(_more(seqs), len(found), counts={"receipts": len(found)})
    page.add("receipts.ndjson", ndjson_lines(map(receipt_value, found)), seqs)
    return page


def _bundles(pages: Pages, export: Export, after: After | None) -> _Page:
    """Give a bundle of its own for each page: who checks one needs no other."""
    found = pages.bundle(_number(after), _AT_ONCE)
    if found is None:
        return _Page(None)
    number = sum(name.startswith("bundle-") for name in export.progress.files) + 1
    page = _Page(None if found.next_after is None else (found.next_after,), found.count)
    page.add(f"bundle-{number:04d}.json", found.data, [found.first_seq, found.last_seq], found.count)
    page.counts["bundled_entries"] = found.count
    return page


def _charges_csv(pages: Pages, _: Export, after: After | None) -> _Page:
    found = pages.charges(_number(after), _AT_ONCE)
    seqs = [posted.seq for posted in found]
    page = _Page(_more(seqs), len(found), counts=_counted(found))
    page.add("charges.csv", csv_lines(map(charge_cells, found)), seqs)
    return page


def _focus(pages: Pages, _: Export, after: After | None) -> _Page:
    found, place = pages.charges_by_session((after[0], after[1]) if after else (0, 0), _AT_ONCE)
    page = _Page(place if len(found) == _AT_ONCE else None, len(found), counts=_counted(found))
    rows = list(focus_rows(found))
    priced = [posted.seq for posted in found if posted.charge.cost is not None]
    unpriced = [posted for posted in found if posted.charge.cost is None]
    page.add("focus.csv", csv_lines(rows), priced, len(rows))
    page.add("unpriced.csv", csv_lines(map(unpriced_cells, unpriced)), [posted.seq for posted in unpriced])
    return page


def _ocsf(pages: Pages, _: Export, after: After | None) -> _Page:
    found = pages.charges(_number(after), _AT_ONCE)
    seqs = [posted.seq for posted in found]
    product = version("p402-collector")
    page = _Page(_more(seqs), len(found), counts=_counted(found))
    page.add("ocsf.ndjson", ndjson_lines(ocsf_event(it.seq, it.charge, product) for it in found), seqs)
    return page


def _pdfs(pages: Pages, _: Export, after: After | None) -> _Page:
    found = pages.documents(_number(after), _PDFS_AT_ONCE)
    seqs = [seq for seq, _, _ in found]
    packed, listed = [], []
    for seq, receipt_id, receipt in found:
        name, document = f"{seq:08d}-{receipt_id}.pdf", render_receipt(receipt)
        packed.append(archived(name, document))
        listed.append((seq, receipt_id, name, len(document), hashlib.sha256(document).hexdigest()))
    page = _Page((seqs[-1],) if len(seqs) == _PDFS_AT_ONCE else None, len(found), counts={"receipts": len(found)})
    page.add(PDFS_NAME, b"".join(packed), seqs)
    page.add("documents.csv", csv_lines(listed), seqs)
    return page


def _controls(_: Pages, export: Export, __: After | None) -> _Page:
    page = _Page(None)
    page.add(CONTROLS_NAME, controls_text(export.organisation, export.request.begin, export.request.end).encode(), [])
    return page


def _records(kind: str) -> _Section:
    file = f"{kind.replace('_', '-')}.csv"

    def make(pages: Pages, _: Export, after: After | None) -> _Page:
        found = pages.records(kind, _number(after), _AT_ONCE)
        page = _Page(_more([number for number, _ in found]), counts={kind: len(found)})
        page.add(file, csv_lines(cells for _, cells in found), [number for number, _ in found])
        return page

    return _Section(make, {file: csv_line(_RECORD_COLUMNS[kind])})


def _counted(found: Sequence[PostedCharge]) -> dict[str, int]:
    return {
        "charges": len(found),
        "unpriced_charges": sum(posted.charge.cost is None for posted in found),
        "adjustments": sum(posted.correction for posted in found),
        "cost_nano_usd": sum(posted.charge.cost.nano_usd for posted in found if posted.charge.cost is not None),
    }


def _number(after: After | None) -> int:
    return -1 if after is None else after[0]


def _more(numbers: Sequence[int]) -> After | None:
    """Where to go on after a page that may not be the last."""
    return (numbers[-1],) if len(numbers) == _AT_ONCE else None


def _headed(file: str, columns: Sequence[Cell]) -> dict[str, bytes]:
    return {file: csv_line(columns)}


_RECEIPTS_CSV = _Section(_receipts_csv, _headed("receipts.csv", RECEIPT_COLUMNS))
_SECTIONS: Mapping[ExportFormat, tuple[_Section, ...]] = {
    ExportFormat.BUNDLE: (_Section(_bundles),),
    ExportFormat.NDJSON: (_Section(_receipts_ndjson, {"receipts.ndjson": b""}),),
    ExportFormat.CSV: (_RECEIPTS_CSV,),
    ExportFormat.CHARGES_CSV: (_Section(_charges_csv, _headed("charges.csv", CHARGE_COLUMNS)),),
    ExportFormat.OCSF: (_Section(_ocsf, {"ocsf.ndjson": b""}),),
    ExportFormat.PDF: (_Section(_pdfs, {PDFS_NAME: b"", **_headed("documents.csv", _PDF_COLUMNS)}),),
    ExportFormat.FOCUS: (
        _Section(_focus, {**_headed("focus.csv", FOCUS_COLUMNS), **_headed("unpriced.csv", UNPRICED_COLUMNS)}),
    ),
    ExportFormat.EVIDENCE: (_Section(_controls), _RECEIPTS_CSV, _Section(_bundles), *map(_records, RECORDS)),
}
