"""What exports are made of, and what they need from the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from p402.exporters.documents.csv_lines import Cell
from p402.exporters.documents.manifest import ManifestFile
from p402.exporters.documents.pdf import Receipt
from p402.exporters.documents.posted import PostedCharge
from p402.exporters.documents.receipt_lines import ExportedReceipt
from p402.vocabulary import Attribution

__all__ = [
    "DISCLOSABLE",
    "RECORDS",
    "Bundled",
    "Export",
    "ExportFormat",
    "ExportRequest",
    "ExportState",
    "ExportStore",
    "Leadership",
    "Pages",
    "Part",
    "Progress",
    "Written",
]

DISCLOSABLE = ("employee", "session_id")
"""The personal fields of receipts and charges that an export can be asked to disclose."""

RECORDS = ("checkpoints", "settlements", "audit", "anomalies", "access_log", "reviews")
"""The records beside receipts that an evidence pack has, in its order."""


class ExportFormat(StrEnum):
    """What an export is made of."""

    BUNDLE = "bundle"
    """Receipts with their proofs, for ``p402-verify``."""
    NDJSON = "ndjson"
    """Receipts, one JSON value a line."""
    CSV = "csv"
    """Receipts for a spreadsheet."""
    CHARGES_CSV = "charges-csv"
    """Charges for a spreadsheet."""
    OCSF = "ocsf"
    """Charges as OCSF events, one a line, for a SIEM."""
    PDF = "pdf"
    """Receipts as documents, one PDF/A-3b each, in one ZIP file."""
    FOCUS = "focus"
    """Charges as FOCUS Cost and Usage."""
    EVIDENCE = "evidence"
    """What an auditor asks for about controls on logging and monitoring, in one ZIP file."""

    @property
    def is_of_charges(self) -> bool:
        """Whether it goes through the ledger, and not through the log."""
        return self in {ExportFormat.CHARGES_CSV, ExportFormat.FOCUS, ExportFormat.OCSF}


class ExportState(StrEnum):
    """How far an export is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    """Its files are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What was asked for."""

    format: ExportFormat
    within: Attribution
    """The part of the tree: that of the key, narrowed by what was asked for. It names an organisation."""
    begin: datetime | None = None
    """First time that is covered: of receipts by their issue, of charges by what they post to."""
    end: datetime | None = None
    """The first time that is not."""
    model: str | None = None
    after_seq: int | None = None
    before_seq: int | None = None
    disclose: tuple[str, ...] = ()
    """Some of `DISCLOSABLE`."""
    checkpoint: int | None = None
    """Size of the signed checkpoint that proofs lead to, and beyond which nothing is covered; None: the newest."""

    @property
    def discloses(self) -> bool:
        """Tell whether its files say something of persons: what is disclosed, or whose records they are."""
        return bool(self.disclose or self.within.employee or self.within.session)


@dataclass(frozen=True, slots=True)
class Written:
    """How much of a file is on disk and counted."""

    bytes: int = 0
    rows: int = 0
    first_seq: int | None = None
    last_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the making of an export stands. What is in files beyond it was not committed, and is made again."""

    section: int = 0
    after: tuple[int, ...] | None = None
    """The place in the section after which it goes on; None: at its beginning."""
    done: int = 0
    """Records that were looked at."""
    files: Mapping[str, Written] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One export."""

    id: str
    request: ExportRequest
    key_id: str | None
    """Of the API key that asked for it."""
    state: ExportState
    created_at: datetime
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    charges_through: int = 0
    """The last charge that it covers: that was the ledger when it began."""
    log_size: int = 0
    checkpoint: str | None = None
    """The signed checkpoint of the log that it covers."""
    total: int = 0
    """Records that are to be looked at."""
    progress: Progress = field(default_factory=Progress)
    files: tuple[ManifestFile, ...] = ()
    problem: str | None = None

    @property
    def organisation(self) -> str:
        """Whose records it has."""
        return self.request.within.organisation or ""


@dataclass(frozen=True, slots=True)
class Bundled:
    """Some receipts in a bundle."""

    data: bytes
    count: int
    first_seq: int
    last_seq: int
    next_after: int | None
    """Where to go on; None: there are no more."""


@dataclass(frozen=True, slots=True)
class Part:
    """The next part of an export."""

    appends: Mapping[str, bytes]
    """What is written, by file."""
    progress: Progress
    """Where it stands when that is on disk."""


class Pages(Protocol):
    """The records of an export, page by page, from one snapshot of the database."""

    def receipts(self, after: int, limit: int) -> Sequence[ExportedReceipt]:
        """Give the next receipts in the order of the log."""
        ...

    def bundle(self, after: int, limit: int) -> Bundled | None:
        """Give the next receipts as a bundle; None when there are none left."""
        ...

    def documents(self, after: int, limit: int) -> Sequence[tuple[int, str, Receipt]]:
        """Give the next receipts as a document tells of them, each with its place in the log and its id."""
        ...

    def charges(self, after: int, limit: int) -> Sequence[PostedCharge]:
        """Give the next charges in the order of recording."""
        ...

    def charges_by_session(self, after: tuple[int, int], limit: int) -> tuple[Sequence[PostedCharge], tuple[int, int]]:
        """Give the next charges, those of one session together, and the place after them."""
        ...

    def records(self, kind: str, after: int, limit: int) -> Sequence[tuple[int, tuple[Cell, ...]]]:
        """Give the next records of one of `RECORDS`, each with its place."""
        ...


class ExportStore(Protocol):
    """Keeps exports."""

    async def next(self, at: datetime) -> Export | None:
        """Give the export that is to be worked on: one that was begun before another; begins it if it is new."""
        ...

    async def make(self, export: Export, make: Callable[[Pages], Part]) -> Part:
        """Make a part from one snapshot of the database."""
        ...

    async def commit(self, export: Export, progress: Progress) -> Export | None:
        """Note that a part is on disk; None if the export was taken back meanwhile."""
        ...

    async def finish(self, export: Export, files: Sequence[ManifestFile], at: datetime, expires_at: datetime) -> bool:
        """Note that all files are there; tells whether the export was still wanted."""
        ...

    async def fail(self, export: Export, problem: str, at: datetime) -> None:
        """Give an export up."""
        ...

    async def expired(self, at: datetime) -> Sequence[str]:
        """Expire what is past its time; gives the ids of exports whose files are to be removed."""
        ...

    async def expire_oldest(self, but: str) -> str | None:
        """Expire the finished export that is oldest, for its room; None if there is none besides one."""
        ...

    async def live(self) -> frozenset[str]:
        """Give the ids of exports that have or will have files."""
        ...


class Leadership(Protocol):
    """Which of several collectors makes exports."""

    async def take(self) -> bool:
        """Tell whether it is this one."""
        ...

    async def resign(self) -> None:
        """Let another go on."""
        ...
