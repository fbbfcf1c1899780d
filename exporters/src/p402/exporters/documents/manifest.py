"""The manifest of an export: what each file is, so that a copy can be checked and a gap be seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from p402.vocabulary import Permanent, rfc3339

__all__ = ["MANIFEST_FORMAT", "MANIFEST_NAME", "ManifestFile", "ManifestInvalid", "make_manifest", "manifest_files"]

MANIFEST_FORMAT = "p402-export/1"
MANIFEST_NAME = "manifest.json"


class ManifestInvalid(Permanent):
    """A file is no manifest of an export that this release reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """One file of an export."""

    name: str
    sha256: str
    bytes: int
    rows: int
    """Records in it, without a line of headings."""
    first_seq: int | None
    """Of what its records are numbered by: receipts by their place in the log, charges by the order of recording."""
    last_seq: int | None


def make_manifest(
    files: Sequence[ManifestFile],
    *,
    export_id: str,
    kind: str,
    organisation: str,
    request: Mapping[str, Any],
    counts: Mapping[str, Any],
    checkpoint: str | None,
    generated_at: datetime,
    version: str,
) -> bytes:
    """Write a manifest.

    Args:
        files: every other file of the export.
        export_id: for example ``exp_01JDC2W0V8H3QK6M4T9ZRX5B7E``.
        kind: the export's format.
        organisation: whose records these are.
        request: what was asked for: period, filters, what is disclosed.
        counts: what the export covers, such as ``unpriced_charges``.
        checkpoint: text of the signed checkpoint of the log at the time of the export; None for an empty log.
        generated_at: now.
        version: of the software.
    """
    manifest = {
        "format": MANIFEST_FORMAT,
        "export_id": export_id,
        "kind": kind,
        "organisation": organisation,
        "request": dict(request),
        "generated_at": rfc3339(generated_at),
        "generator": f"p402-collector {version}",
        "counts": dict(counts),
        "checkpoint": checkpoint,
        "files": [asdict(file) for file in files],
    }
    return json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n"


def manifest_files(data: bytes) -> list[ManifestFile]:
    """Read which files a manifest names.

    Raises:
        ManifestInvalid: if it is none, or names a file outside its folder.
    """
    try:
        manifest = json.loads(data)
        if manifest["format"] != MANIFEST_FORMAT:
            raise ManifestInvalid(
                f"The manifest's format is {str(manifest['format'])[:80]!r}, not {MANIFEST_FORMAT!r}."
            )
        files = [ManifestFile(**file) for file in manifest["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestInvalid(f"This is not the manifest of an export: {error}.") from error
    for file in files:
        if not file.name or file.name != file.name.replace("\\", "/").rpartition("/")[2] or file.name in {".", ".."}:
            raise ManifestInvalid(f"The manifest names a file outside its folder: {file.name[:80]!r}.")
    return files
