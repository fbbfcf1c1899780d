"""``p402 export``: have records exported by a running collector, and download them; a second run goes on where one broke off."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from p402.collector.cli.remote import Refused, Remote, add_options, remote_of
from p402.collector.exports.ports import DISCLOSABLE, ExportFormat
from p402.exporters.documents.manifest import MANIFEST_NAME, ManifestFile, manifest_files
from p402.vocabulary import Permanent

__all__ = ["add_to"]

_STATE_NAME = ".p402-export.json"
_LEVELS = ("department", "project", "client", "employee")
_POLL_SECONDS = 0.5
_CHUNK = 256 * 1024


class DownloadDamaged(Permanent):
    """What was downloaded is not what the manifest says."""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "export",
        help="export receipts or charges, and download them",
        description="Export receipts or charges from a running collector into a folder. Run it again with the same folder "
        "to go on with a download that broke off; every file is checked against the manifest.",
    )
    parser.add_argument("--format", required=True, choices=[kind.value for kind in ExportFormat])
    parser.add_argument("--from", dest="begin", metavar="TIME", help="first time, with a zone: 2026-10-01T00:00:00Z")
    parser.add_argument("--to", dest="end", metavar="TIME", help="first time that is not covered")
    for level in _LEVELS:
        parser.add_argument(f"--{level}", metavar="ID", help=f"only of this {level}")
    parser.add_argument("--model", metavar="NAME", help="only charges of this model")
    parser.add_argument(
        "--checkpoint",
        type=int,
        metavar="SIZE",
        help="size of a signed checkpoint, such as one that you pinned: proofs lead to it, and later receipts are left out",
    )
    parser.add_argument(
        "--disclose",
        action="append",
        default=[],
        choices=DISCLOSABLE,
        help="personal data to disclose; needs a key with receipts:personal, and is noted in the access log",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files; made if need be")
    add_options(parser)
    parser.set_defaults(run=lambda parsed: _export(remote_of(parsed), parsed))


def _export(remote: Remote, parsed: argparse.Namespace) -> int:
    out: Path = parsed.out
    out.mkdir(parents=True, exist_ok=True)
    wanted = _wanted(parsed)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    console = Console(stderr=True)
    with Progress(*columns, MofNCompleteColumn(), console=console) as shown:
        export = _made(remote, out, wanted, shown, shown.add_task("exporting", total=None))
    with Progress(*columns, DownloadColumn(), console=console) as shown:
        listed = {str(file["name"]): file for file in export["files"]}
        _download(remote, listed[MANIFEST_NAME], out, shown)
        files = manifest_files((out / MANIFEST_NAME).read_bytes())
        for file in files:
            _download(remote, listed[file.name], out, shown)
    for file in files:
        _check(out, file)
    (out / _STATE_NAME).unlink(missing_ok=True)
    for file in files:
        print(f"{out / file.name}: {file.rows} records, sha256 {file.sha256}")
    print(f"{out / MANIFEST_NAME}: all files are what it says")
    return 0


def _wanted(parsed: argparse.Namespace) -> dict[str, Any]:
    wanted = {
        "format": parsed.format,
        "from": parsed.begin,
        "to": parsed.end,
        **{level: getattr(parsed, level) for level in _LEVELS},
        "model": parsed.model,
        "checkpoint": parsed.checkpoint,
        "disclose": sorted(set(parsed.disclose)),
    }
    return {name: value for name, value in wanted.items() if value}


def _made(remote: Remote, out: Path, wanted: dict[str, Any], shown: Progress, task: TaskID) -> dict[str, Any]:
    """Ask for the export, or find the one that was asked for before, and wait until it is done."""
    state = out / _STATE_NAME
    export = _known(remote, state, wanted)
    if export is None:
        export = remote.ask("POST", "/v1/exports", wanted)
        state.write_text(json.dumps({"export_id": export["export_id"], "wanted": wanted}), encoding="utf-8")
    while export["state"] in {"queued", "running"}:
        rows = export["rows"]
        shown.update(task, total=rows["total"] or None, completed=rows["done"])
        time.sleep(_POLL_SECONDS)
        export = remote.get(f"/v1/exports/{export['export_id']}")
    if export["state"] != "done":
        state.unlink(missing_ok=True)
        raise Refused(
            f"The export is {export['state']}: {export['problem'] or 'its files are gone'} Run the command again."
        )
    shown.update(task, total=max(export["rows"]["total"], 1), completed=max(export["rows"]["total"], 1))
    found: dict[str, Any] = export
    return found


def _known(remote: Remote, state: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the export that an earlier run into this folder asked for, if it can still be had."""
    try:
        known = json.loads(state.read_text(encoding="utf-8"))
        if known["wanted"] != wanted:
            return None
        export: dict[str, Any] = remote.get(f"/v1/exports/{known['export_id']}")
    except (OSError, ValueError, KeyError, TypeError, Refused):
        return None
    return export if export["state"] in {"queued", "running", "done"} else None


def _download(remote: Remote, file: Mapping[str, Any], out: Path, shown: Progress) -> None:
    """Download a file next to its final place, from where an earlier download ended."""
    final, part = out / str(file["name"]), out / f"{file['name']}.part"
    task = shown.add_task(str(file["name"]), total=file["bytes"])
    if final.exists() and _sha256(final) == file["sha256"]:
        shown.update(task, completed=file["bytes"])
        return
    have = part.stat().st_size if part.exists() else 0
    if have > file["bytes"]:
        part.unlink()
        have = 0
    shown.update(task, completed=have)
    if have < file["bytes"]:
        with (
            remote.open(str(file["url"]), {"Range": f"bytes={have}-"}) as answer,
            part.open("ab" if have else "wb") as into,
        ):
            while chunk := answer.read(_CHUNK):
                into.write(chunk)
                shown.advance(task, len(chunk))
    else:
        part.touch()
    if _sha256(part) != file["sha256"]:
        part.unlink()
        raise DownloadDamaged(f"What came as {file['name']} is not what the collector has. Run the command again.")
    part.replace(final)


def _check(out: Path, file: ManifestFile) -> None:
    if _sha256(out / file.name) != file.sha256:
        raise DownloadDamaged(f"{out / file.name} is not what the manifest says. Remove it, and run the command again.")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
