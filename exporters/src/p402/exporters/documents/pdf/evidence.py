"""The cover of an evidence pack: which controls its records are about, what they are, and how to check them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from p402.exporters.documents.manifest import ManifestFile, manifest_files
from p402.exporters.documents.pdf.blocks import (
    Attachment,
    Block,
    Code,
    Column,
    Document,
    Facts,
    Paragraph,
    Points,
    Relationship,
    Section,
    Table,
    Value,
    mono,
)
from p402.exporters.documents.pdf.certification import certification
from p402.exporters.documents.pdf.figures import count, shortened, utc
from p402.exporters.documents.pdf.proof import checkpoint_facts, files_section
from p402.exporters.documents.pdf.typeset import typeset

__all__ = ["EvidencePack", "evidence_document", "render_evidence"]


@dataclass(frozen=True, slots=True)
class _Control:
    name: str
    asks: str
    records: tuple[tuple[str, str], ...]
    """Beginning of the names of files, and what these say of the control."""
    check: str


_CONTROLS = (
    _Control(
        "SOC 2, CC6.1: logical access",
        "Access to information assets is restricted, and it can be told who used what, by which credential and right.",
        (
            (
                "receipts",
                "Each session with AI: for whom, by how far authenticated an attribution, with which models and why.",
            ),
            ("audit", "Each change of API keys, budgets and policies: by which key, when."),
            ("access-log", "Each read of personal data: by which key, when, how many records."),
        ),
        "Pick sessions from the receipts and ask the applications’ owners for the same ones. Compare changes with your approvals.",
    ),
    _Control(
        "SOC 2, CC7.2: monitoring for anomalies",
        "System components are monitored for anomalies, and these are analysed.",
        (
            (
                "receipts",
                "The population, numbered by place in the log, out of which nothing can be taken unseen: draw samples from it.",
            ),
            ("anomalies", "Each session that was flagged, by which rule, and what became of it."),
            ("reviews", "Human reviews of sessions, and whether by the session’s own employee."),
        ),
        "Take a flagged session and follow it to its review. For completeness compare the ledger with providers’ invoices.",
    ),
    _Control(
        "ISO/IEC 27001:2022, A.8.15: logging",
        "Logs of activities are produced, stored, protected and analysed.",
        (
            ("bundle", "Each receipt with the proof that it is in the log, unchanged and at its place."),
            ("checkpoints", "Each signed state of the log: its size and root."),
            ("settlements", "Which states were anchored on the chain, in which transaction, at what time."),
        ),
        "Verify the bundles offline with the log’s public key, then ask a node of the chain that you choose for the anchors.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidencePack:
    """What the cover is made from."""

    manifest: bytes
    """Of the export: `manifest.json`."""
    certified: bool = False
    """Whether to add a form for a certification under US Federal Rules of Evidence 902(13) and (14)."""


def render_evidence(pack: EvidencePack) -> bytes:
    """Set the cover of an evidence pack as PDF/A-3b; the same pack gives the same bytes.

    Raises:
        ManifestInvalid: if the manifest is none.
        DocumentFailed: if it could not be set.
    """
    return typeset(evidence_document(pack))


def evidence_document(pack: EvidencePack) -> Document:
    """Say what the pack holds and how to check it; no opinion on whether a control is met.

    Raises:
        ManifestInvalid: if the manifest is none.
    """
    files = manifest_files(pack.manifest)
    manifest: Mapping[str, Any] = json.loads(pack.manifest)
    attached = (
        Attachment(
            name="manifest.json",
            content=pack.manifest,
            media_type="application/json",
            relationship=Relationship.SOURCE,
            description="Every file of the pack, with hashes.",
        ),
    )
    asked = manifest["request"]
    begin, end = asked.get("from"), asked.get("to")
    period = f"{utc(begin) if begin else 'the beginning'} to {utc(end) if end else 'the time of the export'}"
    return Document(
        title="Evidence of controls over the use of AI",
        issuer=manifest["organisation"],
        lead=(
            ("Export", mono(manifest["export_id"])),
            ("Period", Value(period)),
            ("Made", Value(utc(manifest["generated_at"]), note=manifest["generator"])),
            (
                "What this is",
                Value("Records that support evidence for the controls below; no opinion on whether they are met."),
            ),
        ),
        sections=(
            *(_control(control, files) for control in _CONTROLS),
            _log(manifest["checkpoint"]),
            _check(),
            _files(files),
            files_section(attached),
            *([certification(f"export {manifest['export_id']}", attached)] if pack.certified else []),
        ),
        footer=f"Evidence, {shortened(manifest['organisation'])}, {shortened(manifest['export_id'])}",
        created=datetime.fromisoformat(manifest["generated_at"]),
        attachments=attached,
    )


def _control(control: _Control, files: Sequence[ManifestFile]) -> Section:
    columns = (
        Column("Records", figures=False, weight=2),
        Column("What they say", figures=False, weight=5),
        Column("Number"),
    )
    rows = []
    for name, says in control.records:
        found = [file for file in files if file.name.startswith(name)]
        number = count(sum(file.rows for file in found)) if found else "none"
        rows.append((Value(_named(found) or name), Value(says), Value(number)))
    asked = Facts((("It asks", Value(control.asks)), ("How to check", Value(control.check))))
    return Section(control.name, (asked, Table(columns, tuple(rows))))


def _named(files: Sequence[ManifestFile]) -> str:
    names = [file.name for file in files]
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}" if names else ""


def _log(checkpoint: str | None) -> Section:
    title = "State of the log"
    if checkpoint is None:
        return Section(title, (Paragraph("The log had no entries at the time of the export."),))
    return Section(title, (Facts(checkpoint_facts(checkpoint)),))


def _check() -> Section:
    steps = (
        "Compare the SHA-256 of each file with the list below; the manifest is attached to this document.",
        "Get the public key of the log from somewhere else than this pack; the operator publishes it at /.well-known/receipt-keys.",
        "Install the verifier and run it on each bundle. With a node of the chain it also checks the anchors:",
    )
    command = "pip install p402-receipts\np402-verify bundle-0001.json --key LOG.vkey --rpc ADDRESS-OF-A-NODE"
    limits = (
        "That every use of AI went through the metered applications: compare with the providers’ invoices. Nor that what an "
        "application said of a call is true where its attribution was not authenticated."
    )
    blocks: tuple[Block, ...] = (
        Points(steps, numbered=True),
        Code(command),
        Facts((("This does not show", Value(limits)),)),
    )
    return Section("How to check the pack", blocks)


def _files(files: Sequence[ManifestFile]) -> Section:
    rows = tuple(
        (file.name, mono(file.sha256, note=f"{count(file.rows)} records, {count(file.bytes)} bytes{_range(file)}"))
        for file in files
    )
    return Section("Files of the pack", (Facts(rows),))


def _range(file: ManifestFile) -> str:
    return "" if file.first_seq is None or file.last_seq is None else f", numbers {file.first_seq} to {file.last_seq}"
